"""The text that `openshow-auth keys status` prints."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from service.clock import milliseconds, moment
from service.errors import SealBroken
from service.keyring.envelope import epoch_of
from service.keyring.kms.provider import wrapped_by
from service.keyring.records import DataKey, KeyLives, KeyRecords, current_epoch, in_use
from service.keyring.signing import public_from_der, thumbprint


def describe(stored: KeyRecords, records: Mapping[int, int], now: datetime, lives: KeyLives) -> str:
    """Print the data keys and the service keys as two tables.

    `records` counts second factors by the epoch of their seal; under 0 those whose row does not
    name it.
    """
    if not stored.data_keys:
        return "This database has no keys yet."
    lines = [*_data_keys(stored, records, now), "", *_service_keys(stored, now, lives)]
    if records.get(0):
        lines += [
            "",
            f"{records[0]:,} records do not tell their epoch: run `openshow-auth keys rewrap`.",
        ]
    return "\n".join(lines)


def _data_keys(stored: KeyRecords, records: Mapping[int, int], now: datetime) -> list[str]:
    current = current_epoch(stored.data_keys, milliseconds(now))
    sealed = [epoch_of(key.sealed) for keys in stored.sealed_keys.values() for key in keys]
    rows = [
        (
            str(key.epoch),
            _state(key, current),
            _age(now - moment(key.created_at)),
            _wrapped_by(key.wrapped),
            f"{records.get(key.epoch, 0):,}",
            str(sealed.count(key.epoch)),
        )
        for key in stored.data_keys
    ]
    return _table(("epoch", "state", "age", "wrapped by", "records", "keys"), rows)


def _service_keys(stored: KeyRecords, now: datetime, lives: KeyLives) -> list[str]:
    rows = []
    for use, keys in stored.sealed_keys.items():
        if not keys:
            continue
        kept, active = in_use(keys, milliseconds(now), lives.after(use))
        for key in keys:
            if key == active:
                state = "in use"
            elif key.active_from > milliseconds(now):
                state = f"in use in {_age(moment(key.active_from) - now)}"
            else:
                state = "verifies" if key in kept else "over"
            name = thumbprint(public_from_der(key.public)) if key.public else ""
            age = _age(now - moment(key.created_at))
            rows.append((use, str(key.id), state, age, str(epoch_of(key.sealed)), name))
    return _table(("key", "id", "state", "age", "epoch", "kid"), rows)


def _state(key: DataKey, current: int) -> str:
    if key.epoch == current:
        return "seals"
    return "opens" if key.epoch < current else "published"


def _wrapped_by(wrapped: bytes) -> str:
    try:
        return wrapped_by(wrapped)
    except SealBroken:
        return "unknown"


def _age(age: timedelta) -> str:
    seconds = max(0, round(age.total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    table = [head, *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
