"""Runs all checks, and tells what they have found."""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from service.cli.doctor.configuration import check_settings
from service.cli.doctor.findings import Finding, fault
from service.cli.doctor.keys import check_keys
from service.cli.doctor.mail import check_mail_transport
from service.cli.doctor.redis_server import check_redis
from service.cli.doctor.relying_parties import registered
from service.cli.doctor.rollback import check_rollback
from service.cli.doctor.sinks import check_sinks
from service.cli.doctor.user_store import check_user_store
from service.cli.required_tls import refuse_what_is_in_clear
from service.errors import SettingsError
from service.settings import Settings

_PATIENCE = 20.0
"""Seconds for a part. All parts are asked at once."""


def run(options: argparse.Namespace) -> int:
    """Check everything and print it. Return 0, 1 where there is a fault, 2 where a setting is one.

    Raises:
        SettingsError: the settings cannot be read, and no JSON is asked for.
    """
    try:
        settings = Settings.from_environment(os.environ)
        refuse_what_is_in_clear(settings, os.environ)
        findings, code = asyncio.run(examine(settings))
    except SettingsError as error:
        if not options.json:
            raise
        findings, code = [fault("settings", error)], 2
    print(_as_json(findings) if options.json else _as_text(findings))
    return code


async def examine(settings: Settings) -> tuple[list[Finding], int]:
    """Run all checks. Return what they have found, and the exit code."""
    url = settings.database_url.reveal() or "sqlite:///" + quote(
        str(settings.data_dir.resolve() / "service.db")
    )
    findings = check_settings(settings, os.environ)
    parts: dict[str, Coroutine[Any, Any, list[Finding]]] = {
        "redis": check_redis(settings),
        "users": check_user_store(settings, url),
        "sinks": _check_sinks(settings, url),
        "mail": check_mail_transport(settings),
    }
    results = await asyncio.gather(*(_within(part, check) for part, check in parts.items()))
    is_setting = any(wrong for _, wrong in results)
    for found, _ in results:
        findings += found
    if not any(each.part == "users" and each.state != "ok" for each in findings):
        for part, check in (
            ("redis", check_rollback(settings, url)),
            ("keys", check_keys(settings, url)),
        ):
            found, wrong = await _within(part, check)
            findings, is_setting = findings + found, is_setting or wrong
    has_fault = any(each.state == "fault" for each in findings)
    return findings, 2 if is_setting else int(has_fault)


async def _check_sinks(settings: Settings, url: str) -> list[Finding]:
    return await check_sinks(settings, await registered(url))


async def _within(part: str, check: Awaitable[list[Finding]]) -> tuple[list[Finding], bool]:
    """Run a check. Return what it has found, and whether a setting is what is wrong."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await check, False
    except SettingsError as error:
        return [fault(part, error)], True
    except TimeoutError:
        return [fault(part, f"it does not answer within {_PATIENCE:.0f} s")], False


def _as_json(findings: Sequence[Finding]) -> str:
    report = {"ok": not any(each.state == "fault" for each in findings), "findings": findings}
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def _as_text(findings: Sequence[Finding]) -> str:
    lines = []
    for each in sorted(findings, key=lambda each: _ORDER[each.state]):
        lines.append(f"{each.state:<8} {each.part:<11} {each.message}")
        if each.advice:
            lines.append(f"{'':<20} → {each.advice}")
    counts = [sum(each.state == state for each in findings) for state in ("fault", "warning")]
    faults, warnings = (
        f"{count or 'no'} {name}{'' if count == 1 else 's'}"
        for count, name in zip(counts, ("fault", "warning"), strict=True)
    )
    return "\n".join([*lines, "", f"{faults[:1].upper()}{faults[1:]}, {warnings}."])


_ORDER = {"fault": 0, "warning": 1, "ok": 2}
