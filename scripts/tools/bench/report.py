"""A whole run: what is kept in JSON."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tools.bench.curves import Crowd, Growth
from tools.bench.disturbance import Flood, LogoutStorm
from tools.bench.figures import (
    Bare,
    Guard,
    Memory,
    Propagation,
    Row,
    Sample,
    Sealing,
    TopologyRow,
    Workers,
)


class Report(msgspec.Struct, frozen=True):
    """All that was measured, and on what. What was not measured is empty."""

    made_at: str
    machine: str
    software: str
    redis: str
    connections: int
    requests: int
    rounds: int
    floor: Sample | None = None
    rows: Sequence[Row] = ()
    memory: Sequence[Memory] = ()
    bare: Bare | None = None
    sealing: Sealing | None = None
    guard: Guard | None = None
    flood: Flood | None = None
    storm: LogoutStorm | None = None
    growth: Growth | None = None
    crowds: Sequence[Crowd] = ()
    topologies: Sequence[TopologyRow] = ()
    propagation: Propagation | None = None
    workers: Workers | None = None

    def row(self, name: str) -> Row | None:
        """That of a call, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def updated(self, found: dict[str, Any]) -> "Report":
        """With the fields of `found` in the place of its own; of rows, those of the same name."""
        if "rows" in found:
            new = {row.name: row for row in found["rows"]}
            kept = [new.pop(row.name, row) for row in self.rows]
            found = found | {"rows": [*kept, *new.values()]}
        return msgspec.structs.replace(self, **found)
