"""`scripts/seed`: look, ask, fill, tell."""

import argparse
import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import timedelta
from pathlib import Path

import msgspec
import uvloop

from service import logs
from service.cli.program import read_settings
from service.cli.progress import Progress
from service.embedded.client import server_url, wait_for_server
from service.errors import StartupError, StoreUnavailable
from service.settings import Settings
from tools.report import arguments
from tools.report.arguments import Parser
from tools.report.progress import agreed
from tools.seed.accounts import Refused, agree_on_login, check_prefix
from tools.seed.consent import elsewhere
from tools.seed.export import Export
from tools.seed.filling import LANES, Filling, Plan
from tools.seed.report import exported, holdings, report
from tools.seed.stores import open_stores

_REPOSITORY = Path(__file__).resolve().parents[3]
_PATIENCE_MS = 15_000
_PATIENCE = timedelta(seconds=2)

_DESCRIPTION = """\
Accounts and sessions for a service that runs, made by the service's own code, not over HTTP.

The stores are those that the SERVICE_* variables name, read as scripts/up reads them: without any,
the embedded Valkey and the SQLite file of a running scripts/up of this checkout. Accounts are
numbered (seed-0000001@example.org, …) and have one password.

It adds what is missing and leaves the rest alone: broken off, by Ctrl-C or kill -9, and started
again with the same arguments, it ends with exactly so many accounts and sessions. One at a time
for a prefix.
"""

_EPILOG = """\
The export holds JSON Lines, one a session: user, email, password, session, refreshToken,
accessToken, accessExpiresAt. They are secrets, and the file is closed to others (mode 0600). A run
that goes on after another adds its lines to the file. Tokens of sessions that are there already
cannot be had again: Redis has digests only.

  scripts/seed --users 500000 --sessions-per-user 2
  scripts/seed --users 1000 --sessions-per-user 2 --prefix load --export tokens.jsonl
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as told. The exit code: 0; 1 broken off, 2 not to be done so, 130 ended by Ctrl-C."""
    options = _parser().parse_args(arguments)
    if options.export:
        options.export = options.export.absolute()
    os.chdir(_REPOSITORY)  # relative paths in settings are taken from there, as in scripts/up
    plan = Plan(options.prefix, options.users, options.sessions_per_user)
    try:
        settings = _settings(options, plan)
        with _export(options) as export, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            return loop.run(_fill(settings, plan, options.password, export))
    except (Refused, StartupError) as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return 130


def _parser() -> Parser:
    made = arguments.parser("seed", _DESCRIPTION, _EPILOG)
    option = made.option
    option("--users", _count, "N", "accounts that there are to be", required=True)
    what = "that each of them is to have, at most SERVICE_MAX_SESSIONS"
    option("--sessions-per-user", _count, "M", what, required=True)
    option("--prefix", str, None, "of their addresses (default: seed)", "seed")
    what = "of all accounts (default: one that is made from the service's keys, and told)"
    option("--password", str, None, what)
    option("--export", Path, "FILE", "write the tokens of new sessions to FILE")
    what = "so many lines at most: signing takes as long as opening (default: all)"
    option("--export-limit", _count, "K", what)
    made.flag("--yes", "do not ask before filling what is not on this machine")
    return made


def _export(options: argparse.Namespace) -> AbstractContextManager[Export | None]:
    return (
        closing(Export(options.export, options.export_limit)) if options.export else nullcontext()
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 9_999_999):
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 9,999,999")
    return int(text)


def _settings(options: argparse.Namespace, plan: Plan) -> Settings:
    """Read the settings of the running service, with more patience: what waits is no request.

    Raises:
        StartupError, Refused: they are wrong, or cannot serve the plan.
    """
    settings = read_settings()
    check_prefix(plan.prefix)
    if plan.sessions_each > settings.max_sessions:
        raise Refused(
            f"--sessions-per-user {plan.sessions_each} is above SERVICE_MAX_SESSIONS "
            f"({settings.max_sessions}): the oldest would make room for the newest"
        )
    if not settings.redis_url:
        try:
            wait_for_server(settings.data_dir, patience=_PATIENCE)
        except StartupError:
            raise Refused(
                f"no service runs on {settings.data_dir.resolve()}: start scripts/up, or set "
                "SERVICE_REDIS_URL or SERVICE_DATA_DIR as the service has it"
            ) from None
        settings = msgspec.structs.replace(settings, redis_url=server_url(settings.data_dir))
    if (hosts := elsewhere(settings)) and not options.yes:
        where = f"{', '.join(hosts)}: not on this machine"
        what = f"{plan.users:,} accounts and {plan.sessions:,} sessions will be added there."
        if not agreed(f"{where}. {what}"):
            raise Refused(f"{where}; --yes fills it all the same")
    return msgspec.structs.replace(
        settings,
        redis_reply_timeout_ms=max(settings.redis_reply_timeout_ms, _PATIENCE_MS),
        database_timeout_ms=max(settings.database_timeout_ms, _PATIENCE_MS),
    )


async def _fill(settings: Settings, plan: Plan, password: str | None, export: Export | None) -> int:
    try:
        async with open_stores(settings, lanes=LANES) as stores:
            before = await holdings(stores.redis_client)
            login = await agree_on_login(stores, plan.prefix, password)
            with Progress("Seeding", plan.sessions) as progress:
                filling = Filling(stores, plan, login, export, progress)
                _stop_at_ctrl_c(filling)
                _spare_the_collector()
                began = time.monotonic()
                await filling.run()
                seconds = time.monotonic() - began
            if filling.stopped:
                print("Stopped; the same command goes on from here.", file=sys.stderr)
                return 130
            after = await holdings(stores.redis_client)
    except StoreUnavailable as error:
        return _complain(f"{error}; the same command goes on from here", 1)
    growth = after.since(before) if before and after else None
    print(*report(plan, filling.tally, login, seconds, growth), sep="\n")
    if export:
        print(*exported(export, filling.tally), sep="\n")
    return 0


def _stop_at_ctrl_c(filling: Filling) -> None:
    """End the run in good order at the first one, with every opened session exported."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        filling.stop()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)


def _spare_the_collector() -> None:
    """Stop it: hundreds of thousands of futures come and go, and none of them is in a cycle."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _complain(message: str, code: int) -> int:
    print("scripts/seed:", " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    logs.configure("error")
    sys.exit(main())
