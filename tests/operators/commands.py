"""`openshow-auth` with the settings of a pod, run in this process, in a thread of its own."""

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import msgspec

from service.cli import program


class Outcome(msgspec.Struct, frozen=True):
    """How a command has ended, and what it has said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it has printed as JSON."""
        return json.loads(self.out)


class _NoSignals:
    """Stands for the handlers of signals, which only the main thread has."""

    def give_back(self) -> None:
        """Give nothing back."""


async def command(*arguments: str) -> Outcome:
    """Run a command. Its settings are those in the environment."""
    return await asyncio.to_thread(_command, *arguments)


def _command(*arguments: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            stop: Any = _NoSignals()
            code = program._run(arguments, stop)
        except SystemExit as ended:  # of argparse
            code = int(ended.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())
