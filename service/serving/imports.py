"""What a start loads: less than it would, and out of the way of collections."""

import gc
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

_PUT_OFF: Mapping[str, Mapping[str, Sequence[str]]] = {
    "cryptography.x509": {},  # PyJWT looks for certificates, too; its expressions compile long
    "redis": {},  # clients, of clusters, too: ours has connections and errors of it
    "redis.asyncio": {},
    "sqlalchemy.ext.asyncio": {  # sessions, and so the whole ORM
        "engine": ("AsyncConnection", "AsyncEngine", "AsyncTransaction", "create_async_engine")
    },
    "uvicorn": {"config": ("Config",)},  # its command line
    "yaml": {},  # Litestar would spell its own description by it
}
"""Packages that load much that a service does without, and what it uses of their modules."""

_WITHOUT: Mapping[str, Sequence[str]] = {
    "structlog": ("rich", "twisted"),  # to colour tracebacks: ours have another form
    "redis.observability": ("opentelemetry.sdk.metrics",),  # its own metrics: we count commands
}
"""Modules that load others where they are installed. rich always is: Litestar's command line."""


def begin_imports() -> None:
    """Have imports leave out what nobody needs. Collections are off until `memory.settle`.

    Imports leave no garbage, and to look for it takes a fifth more.
    """
    gc.disable()
    for name, used in _PUT_OFF.items():
        if name not in sys.modules:
            _put_off(name, used)
    for name, others in _WITHOUT.items():
        _import_without(name, others)


def _import_without(name: str, others: Sequence[str]) -> None:
    """Import a module, where there is one, as where these others are not installed."""
    hidden = [other for other in others if other not in sys.modules]
    for other in hidden:
        sys.modules[other] = None  # type: ignore[assignment]  # not to be found, meanwhile
    with suppress(ModuleNotFoundError):  # whoever needs it will say so
        import_module(name)
    for other in hidden:
        del sys.modules[other]


def _put_off(name: str, used: Mapping[str, Sequence[str]]) -> None:
    """Have a package itself load when something is asked of it that is not `used`.

    Its modules can be imported meanwhile. `used`: names by the module of it where they are.
    """
    spec = find_spec(name)
    if spec is None or spec.loader is None:  # whoever needs it will say so
        return
    loader = spec.loader
    package = module_from_spec(spec)

    def load(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        with suppress(ModuleNotFoundError):
            return import_module(f"{name}.{attribute}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, attribute)

    vars(package)["__getattr__"] = load
    sys.modules[name] = package
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, package)
    for module, names in used.items():
        found = import_module(f"{name}.{module}")
        for each in names:
            setattr(package, each, getattr(found, each))


def keep_imports() -> None:
    """Leave what imports have made out of collections: modules live on.

    Before anything else is made: to look through all of it takes a tenth of a start, and finds a
    thousand objects.
    """
    gc.freeze()
