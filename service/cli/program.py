"""The command line: `serve`, and the parts of it as commands of their own, `redis` and `migrate`.

Exit codes: 0 done, already so, or a dry run; 1 not there, refused or failed; 2 usage or settings,
and whatever keeps `serve` or `redis` from starting; 130 Ctrl-C. All but 0 say why in one line.

This module imports little, and each command what it needs: until `main` has put its handlers in
place, process 1 of a container would miss a signal, and any other be ended half-way.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from service import __version__, streams
from service.cli.arguments import parse
from service.errors import SettingsError, StartupError
from service.serving.core_dumps import disable_core_dumps
from service.serving.signals import StartStopped, Stop

if TYPE_CHECKING:
    from service.settings import Settings

LONGEST_WAIT = timedelta(seconds=4.5)
"""How long `redis` waits for its clients. Process managers kill five seconds after they asked."""

_DAY = 86_400  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    stop = Stop()
    disable_core_dumps()
    streams.open_closed()
    with streams.ignoring_output_errors() as failures:
        code = _run(arguments, stop)
    unsaid = [error.strerror for error in failures if not isinstance(error, BrokenPipeError)]
    if unsaid and not code:  # what was asked for is done; nobody can know by the output
        with suppress(OSError):
            print(f"openshow-auth: the output could not be written: {unsaid[0]}", file=sys.stderr)
        return 1
    return code


def _run(arguments: Sequence[str] | None, stop: Stop) -> int:
    try:
        options = parse(_parser(), sys.argv[1:] if arguments is None else arguments)
        run: Callable[..., int] = options.run
        if run not in (_serve, _redis):
            stop.give_back()  # such a command can be ended at any point
            return run(options)
        streams.write_without_blocking()
        return run(options, stop)
    except StartupError as error:
        print("openshow-auth:", " ".join(str(error).split()), file=sys.stderr)
        return 2 if isinstance(error, SettingsError) or run in (_serve, _redis) else 1
    except StartStopped as stopped:
        print(f"openshow-auth: stopped while it waited for {stopped}", file=sys.stderr)
        streams.flush()
        os._exit(0)  # an orderly end would wait for what hangs
    except KeyboardInterrupt:
        print("openshow-auth: interrupted", file=sys.stderr)
        return 128 + 2  # as shells say it of SIGINT
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "service"):  # a defect of ours, not of the installation
            raise
        print(
            f"openshow-auth: {library} is not installed: make an environment for the server alone, "
            "and in it pip install openshow-auth",
            file=sys.stderr,
        )
        return 2


def _parser() -> argparse.ArgumentParser:
    from service.cli import (
        account_options,
        api_key_options,
        event_options,
        guard_options,
        key_options,
        mail_commands,
        party_options,
        redis_options,
    )
    from service.cli.doctor import options as doctor_options

    parser = argparse.ArgumentParser(
        prog="openshow-auth",
        description="Refresh sessions in Redis, ended the moment a person logs out.",
        epilog="Settings are SERVICE_* environment variables; docs/settings.md lists them.",
    )
    version = f"openshow-auth {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    serve = commands.add_parser(
        "serve",
        help="start Redis unless SERVICE_REDIS_URL names one, migrate the user store, serve HTTP",
        description="Serve until SIGTERM or Ctrl-C: start the embedded Valkey unless "
        "SERVICE_REDIS_URL names a server, migrate the user store, serve HTTP on SERVICE_HOST and "
        "SERVICE_PORT. SIGTERM waits for SERVICE_DRAIN_DELAY first. Stopping lets open requests "
        "finish (4 s), then stops Valkey.",
    )
    serve.add_argument(
        "--attach",
        action="store_true",
        help="use the embedded Valkey that `redis` runs on the same data directory",
    )
    serve.set_defaults(run=_serve)

    redis = commands.add_parser(
        "redis",
        help="run only the embedded Valkey, for a process manager",
        description="Run the embedded Valkey of the data directory until SIGTERM or Ctrl-C, and "
        "then until no client is connected (4.5 s at most), so that `serve --attach` can be "
        "stopped at the same time. Restarts it when it dies. `claim` and `accept` are for any "
        "Redis.",
    )
    redis.set_defaults(run=_redis)
    redis_options.add_to(redis, read_settings)

    tables = commands.add_parser(
        "migrate",
        help="bring the tables of the user store up to date, and exit",
        description="Bring the tables of the user store up to date, and exit. Waits for another "
        "process that does, and for transactions that use the tables, and says whose they are.",
    )
    tables.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait for each of them (default: 30)",
    )
    tables.set_defaults(run=_migrate)
    key_options.add_to(commands, read_settings)
    doctor_options.add_to(commands)
    account_options.add_to(commands, read_settings)
    event_options.add_to(commands, read_settings)
    mail_commands.add_to(commands, read_settings)
    guard_options.add_to(commands, read_settings)
    api_key_options.add_to(commands, read_settings)
    party_options.add_to(commands, read_settings)
    return parser


def _wait_for(stop: Stop) -> None:
    while not stop():
        time.sleep(0.05)  # not `signal.pause`: it would sleep through a signal just before it


def _serve(options: argparse.Namespace, stop: Stop) -> int:
    from service.serving.imports import begin_imports

    begin_imports()
    from service.serving.listeners import bound
    from service.serving.stores import prepare
    from service.settings import Settings

    stop.defer()
    given = Settings.from_environment(os.environ)
    settings = read_settings()
    with ExitStack() as cleanup:
        listeners = cleanup.enter_context(bound(settings))
        if stop():
            return 0
        if not settings.redis_url:
            from service.embedded import client, server

            if options.attach:
                client.wait_for_server(settings.data_dir, stop)
            else:
                valkey = server.EmbeddedServer(settings.data_dir)
                valkey.start(stop)
                cleanup.callback(valkey.stop)
            os.environ["SERVICE_REDIS_URL"] = client.server_url(settings.data_dir).reveal()
        settings = Settings.from_environment(os.environ)  # as worker processes will read it
        if stop():
            return 0
        prepare(settings, stop, is_alone=not (given.redis_url or options.attach))
        from service.serving.start import run  # the other commands do without the web framework

        return run(settings, given, listeners, stop)


def _redis(_: argparse.Namespace, stop: Stop) -> int:
    from service.embedded.server import EmbeddedServer

    stop.defer()
    settings = read_settings()
    if settings.redis_url:  # ending would make a process manager stop the others
        print("SERVICE_REDIS_URL names a server, so none is started here.", flush=True)
        _wait_for(stop)
        return 0
    server = EmbeddedServer(settings.data_dir)
    server.start(stop)
    try:
        print(f"Valkey runs on {settings.data_dir.resolve() / 'redis'}", flush=True)
        _wait_for(stop)
        server.wait_for_clients(LONGEST_WAIT)
    finally:
        server.stop()
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from service.database.migration import migrate

    migrate(read_settings().database_url.reveal(), options.wait)
    return 0


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _DAY):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 1 to {_DAY}")
    return int(text)


def read_settings() -> "Settings":
    """Read the settings, and make the data directory if it is used, as by SQLite."""
    from urllib.parse import quote

    from service.embedded.files import make_private
    from service.settings import Settings

    settings = Settings.from_environment(os.environ)
    if settings.require_tls:
        from service.cli.required_tls import refuse_what_is_in_clear

        refuse_what_is_in_clear(settings, os.environ)
    if settings.mail_url:
        from service.composition.mail import check_mail

        check_mail(settings)
    if not settings.keeps_files:
        return settings
    directory = settings.data_dir.resolve()
    try:
        make_private(directory)
    except StartupError as error:
        raise SettingsError(f"SERVICE_DATA_DIR: {error}") from None
    if settings.database_url:
        return settings
    os.environ["SERVICE_DATABASE_URL"] = "sqlite:///" + quote(str(directory / "service.db"))
    return Settings.from_environment(os.environ)
