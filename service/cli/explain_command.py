"""Carries out `openshow-auth users explain USER`: why a person cannot log in, in one answer.

It looks at the account, its limits and last events, at the stores, the key service and the clocks
as the doctor does, and at what the pod on this machine counts.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from service.cli import account_texts as texts
from service.cli.account_command import AccountCommand
from service.cli.doctor.command import examine
from service.errors import (
    KeyRefused,
    KeyServiceUnavailable,
    SealBroken,
    StartupError,
    StoreUnavailable,
    UserNotFound,
)
from service.operators.explaining import NO_ACCOUNT, Reason, reasons_of
from service.settings import Settings

Opened = Callable[[], AbstractAsyncContextManager[AccountCommand]]

_KEPT_OUT_BY = ("redis", "rights", "durability", "clock", "feed", "users", "keys")
"""Parts that the doctor looks at, a fault of which keeps people out."""

_PATIENCE = 2.0
_EVENTS = 100
_OPENER = build_opener(ProxyHandler({}))  # this machine is asked, no proxy of the environment
_SHED = re.compile(
    r'^openshow_logins_total\{outcome="service_unavailable"\} ([\d.e+]+)$', re.MULTILINE
)
_WAITING = re.compile(r"^openshow_hashes_waiting ([\d.e+]+)$", re.MULTILINE)


async def explain(settings: Settings, opened: Opened, *, as_json: bool) -> str:
    """Tell all reasons there are. Each part is looked at, whichever others are away."""
    findings, _ = await examine(settings)
    reasons = [
        Reason(each.part, each.message, each.advice or "do what it says")
        for each in findings
        if each.state != "ok" and each.part in _KEPT_OUT_BY
    ]
    try:
        async with opened() as command:
            reasons = [*await _of_account(command), *reasons]
    except (StoreUnavailable, StartupError):
        pass  # the doctor has said so
    reasons += await asyncio.to_thread(_of_pod, settings)
    if as_json:
        return texts.as_json({"reasons": reasons})
    lines = [f"{each.reason}: {texts.plain(each.message)}\n  → {each.advice}" for each in reasons]
    return "\n".join(lines or ["Nothing here keeps this person from logging in."])


async def _of_account(command: AccountCommand) -> list[Reason]:
    try:
        user = await command.user()
    except UserNotFound:
        return [NO_ACCOUNT]
    try:
        await command.open_keys()
        limits = await command.does.limits.in_force(user)
    except (KeyServiceUnavailable, KeyRefused, SealBroken, StartupError, StoreUnavailable):
        limits = []  # the doctor says why
    try:
        page = await command.does.events.page(user=user.id, limit=_EVENTS)
        events = page.events
    except StoreUnavailable:
        events = []
    required = command.settings.email_verification == "required"
    return reasons_of(user, limits, events, verified_only=required)


def _of_pod(settings: Settings) -> list[Reason]:
    """Read what the pod of these settings counts, if one serves on this machine."""
    text = metrics(settings)
    waiting, shed = _number(_WAITING, text), _number(_SHED, text)
    if not waiting and not shed:
        return []
    return [
        Reason(
            "shed",
            f"{shed:.0f} logins were turned away with 503 since this pod has started, and"
            f" {waiting:.0f} wait for their passwords to be hashed",
            "more workers or pods; SERVICE_TRUSTED_PROXIES, if all come from one address",
        )
    ]


def metrics(settings: Settings) -> str:
    """Ask the pod on this machine for its metrics; `""`: there is none that tells."""
    bind = settings.operations_bind
    if bind is not None and bind.path:
        return ""
    host, port = (bind.host, bind.port) if bind is not None else (settings.host, settings.port)
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  replaced, not bound
    address = f"[{here}]" if ":" in here else here
    try:
        with _OPENER.open(f"http://{address}:{port}/metrics", timeout=_PATIENCE) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, HTTPException):  # none, or something else is there
        return ""


def _number(pattern: re.Pattern[str], text: str) -> float:
    found = pattern.search(text)
    return float(found[1]) if found else 0.0
