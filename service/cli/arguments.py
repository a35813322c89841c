"""Reads a command line where argparse alone would misread it."""

import argparse
from collections.abc import Sequence


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Read arguments, of which `--option=--` is none: before Python 3.13 its value is `[]`.

    Raises:
        SystemExit: they are no command; standard error says why.
    """
    for each in arguments:
        option, _, value = each.partition("=")
        if option.startswith("--") and value == "--":
            parser.error(f"argument {option}: -- is no value")
    return parser.parse_args(arguments)
