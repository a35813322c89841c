"""Command lines: nothing but Python, so that --help comes before anything is installed."""

import argparse
from collections.abc import Callable
from math import inf
from typing import Any


def parser(script: str, description: str, epilog: str, usage: str | None = None) -> "Parser":
    """Make the parser of a script, whose texts are shown as they stand."""
    return Parser(
        prog=f"scripts/{script}",
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


class Parser(argparse.ArgumentParser):
    """Options in a row each, under a heading if there is one."""

    def heading(self, title: str) -> None:
        """Put the options that follow under this."""
        self._group = self.add_argument_group(title)

    def option(
        self,
        name: str,
        kind: Callable[[str], Any],
        metavar: str | None,
        what: str,
        default: Any = None,
        **more: Any,
    ) -> None:
        """Take a value of a kind; without it the default."""
        group = getattr(self, "_group", self)
        group.add_argument(name, type=kind, metavar=metavar, help=what, default=default, **more)

    def flag(self, name: str, what: str) -> None:
        """Take a flag."""
        getattr(self, "_group", self).add_argument(name, action="store_true", help=what)


def count(text: str) -> int:
    """Read a whole number from 1."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """Read some time, from a tenth of a second."""
    try:
        told = float(text)
    except ValueError:
        told = 0.0
    if not 0.1 <= told < inf:
        raise argparse.ArgumentTypeError("must be a number from 0.1")
    return told
