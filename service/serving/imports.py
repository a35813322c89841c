"""What a start loads: less than it would, and out of the way of collections."""

import gc
import sys
from importlib import import_module


def begin_imports() -> None:
    """Have imports leave out what nobody needs. Collections are off until `memory.settle`.

    Imports leave no garbage, and to look for it takes a fifth more. structlog loads rich to colour
    tracebacks, which takes longer than all else of it; ours have another form. It is always there:
    Litestar needs it for a command line of its own.
    """
    gc.disable()
    if "rich" not in sys.modules:
        sys.modules["rich"] = None  # type: ignore[assignment]  # not to be found, meanwhile
        import_module("structlog")
        del sys.modules["rich"]


def keep_imports() -> None:
    """Leave what imports have made out of collections: modules live on.

    Before anything else is made: to look through all of it takes a tenth of a start, and finds a
    thousand objects.
    """
    gc.freeze()
