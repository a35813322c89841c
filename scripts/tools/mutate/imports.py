"""Which functions of the service run while tests are imported and collected.

What they made then, a fork that is given their mutant has still from the original. Of any other
function a fork says all there is to say.
"""

import os
import sys
from types import FrameType
from typing import Any

_SERVICE = f"{os.sep}service{os.sep}"


class Called:
    """The functions that have run from `start` to `stop`, by path and qualified name."""

    def __init__(self) -> None:
        self._names: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Begin to note them."""
        sys.setprofile(self._note)

    def stop(self) -> None:
        """Note no more."""
        sys.setprofile(None)

    def __contains__(self, function: tuple[str, str]) -> bool:
        return function in self._names

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and _SERVICE in code.co_filename:
            # A mutant is of an outermost function; what is within it is part of it.
            self._names.add((code.co_filename, code.co_qualname.partition(".<locals>")[0]))


CALLED = Called()
"""Those of this process."""
