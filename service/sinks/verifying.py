"""Finds what was cut out of a copy of the events, changed, or put into it.

Each batch names the digest of the one before. So the copy is walked back from the last batch of
each stream, as Redis names it; signatures say which of them the service has vouched for.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from service.sinks.batch import NOTHING_BEFORE, BatchHead, digest_of
from service.sinks.state import Progress

Verifier = Callable[[str, bytes, bytes], bool | None]
"""Tells whether a signature (second) of a digest (third) is right; `None`: the key is not known."""


class _Found(msgspec.Struct):
    """A batch of the copy: what stands beside it, and its lines."""

    head: BatchHead
    lines: list[bytes]
    where: str


class Report(msgspec.Struct):
    """What there is in a copy. `faults` says what is wrong with it; empty: nothing is."""

    events: int = 0
    batches: int = 0
    signed: int = 0
    faults: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)


class _IsBatch(msgspec.Struct):
    batch: int


class Copy:
    """A copy of the events, as it is read, and what is found in it."""

    def __init__(self) -> None:
        self.report = Report()
        self._batches: dict[int, dict[int, list[_Found]]] = {}
        self._loose: list[tuple[bytes, str]] = []
        self._known: dict[int, set[bytes]] = {}
        self._behind: dict[int, set[bytes]] = {}

    def add(self, where: str, lines: Iterable[bytes]) -> None:
        """Read lines, each batch behind its events. `where`: what they are named in reports."""
        waiting: list[bytes] = []
        for line in lines:
            head = _head(line)
            if head is None:
                waiting.append(line)
                continue
            count = max(0, head.count)
            mine = waiting[len(waiting) - count :] if count else []
            self._loose += [(each, where) for each in waiting[: len(waiting) - len(mine)]]
            waiting = []
            self._add(_Found(head, mine, where))
        self._loose += [(each, where) for each in waiting]

    def _add(self, found: _Found) -> None:
        head = found.head
        place = f"batch {head.batch} of stream {head.bucket:02x} in {found.where}"
        try:
            right = digest_of(bytes.fromhex(head.before), found.lines).hex() == head.digest
        except ValueError:
            right = False
        if not right or len(found.lines) != head.count:
            self.report.faults.append(f"{place}: its events are not those that were written")
        self._batches.setdefault(head.bucket, {}).setdefault(head.batch, []).append(found)

    def check(
        self, noted: Mapping[int, Progress] | None = None, verifier: Verifier | None = None
    ) -> Report:
        """Check all that was read. `noted`: how far the copy has got, as Redis says."""
        for bucket in sorted({*self._batches, *(noted or {})}):
            last = noted.get(bucket) if noted else None
            self._check_stream(bucket, self._batches.get(bucket, {}), last, verifier)
        if noted is not None:
            self._check_ends({bucket for bucket, last in noted.items() if last.number})
        known: set[bytes] = set().union(*self._known.values())
        loose = [where for line, where in self._loose if line not in known and not _torn(line)]
        torn = [where for line, where in self._loose if line not in known and _torn(line)]
        for where in dict.fromkeys(loose):
            self.report.faults.append(f"{loose.count(where)} events of {where} are in no batch")
        for where in dict.fromkeys(torn):
            self.report.notes.append(f"{where} has a line that was cut short, as by a crash")
        return self.report

    def missing(self, bucket: int, lines: Iterable[bytes]) -> list[bytes]:
        """Tell which of these events of a stream are not in the copy."""
        known = self._known.get(bucket, set())
        return [line for line in lines if line not in known]

    def put_in(self, bucket: int, lines: Iterable[bytes]) -> set[bytes]:
        """Tell which events of a stream, behind the batch that was noted, are none of `lines`.

        A batch stands there for a moment, or if whoever wrote it was killed before it was noted.
        """
        return self._behind.get(bucket, set()).difference(lines)

    def _check_stream(
        self,
        bucket: int,
        batches: Mapping[int, list[_Found]],
        noted: Progress | None,
        verifier: Verifier | None,
    ) -> None:
        stream = f"stream {bucket:02x}"
        last = max(batches, default=0)
        wanted: str | None = None
        if noted is not None and noted.number:
            if last < noted.number:
                self.report.faults.append(
                    f"{stream}: batches {last + 1} to {noted.number} are missing at the end"
                )
            elif all(each.head.digest != noted.digest.hex() for each in batches[noted.number]):
                self.report.faults.append(f"{stream}: batch {noted.number} is not the one noted")
        chain: list[_Found] = []
        for number in range(last, 0, -1):
            if noted is not None and number == noted.number:
                wanted = noted.digest.hex()  # several may follow the one before; this one counts
            of = batches.get(number, [])
            fitting = [each for each in of if wanted is None or each.head.digest == wanted]
            if not fitting:
                self._report_gap(stream, batches, number)
                break
            chain.append(fitting[-1])
            wanted = fitting[-1].head.before
        else:
            if chain and wanted != NOTHING_BEFORE.hex():
                self.report.faults.append(f"{stream}: its first batch is not the first")
        if noted is not None and noted.number:
            newer = [each for each in chain if each.head.batch > noted.number]
            self._behind[bucket] = {line for each in newer for line in each.lines}
        self._take(bucket, chain, [each for of in batches.values() for each in of], verifier)

    def _check_ends(self, named: set[int]) -> None:
        """Say where nothing tells what came last. `named`: streams whose last batch Redis names."""
        unknown = len(self._batches.keys() - named)
        if unknown:
            self.report.notes.append(
                f"Redis names no last batch of {unknown} streams: what came last may be missing"
            )
        elif not named:
            self.report.faults.append(
                "no batch of events is in it, and Redis names none: it is no copy, or was emptied"
            )

    def _report_gap(self, stream: str, batches: Mapping[int, list[_Found]], number: int) -> None:
        what = "was changed" if number in batches else "is missing"
        earlier = [each for each in batches if each < number]
        if number not in batches and not earlier:
            self.report.faults.append(f"{stream}: it begins with batch {number + 1}, not with 1")
        else:
            self.report.faults.append(f"{stream}: batch {number} {what}")

    def _take(
        self,
        bucket: int,
        chain: list[_Found],
        all_of: list[_Found],
        verifier: Verifier | None,
    ) -> None:
        known = {line for each in chain for line in each.lines}
        self._known[bucket] = known
        self.report.events += len(known)
        self.report.batches += len(chain)
        for each in chain:
            head = each.head
            if not head.signature or verifier is None:
                continue
            try:
                right = verifier(
                    head.kid, bytes.fromhex(head.signature), bytes.fromhex(head.digest)
                )
            except ValueError:
                right = False
            if right is None:
                self.report.notes.append(f"the key {head.kid} is not known any more")
            elif right:
                self.report.signed += 1
            else:
                self.report.faults.append(
                    f"batch {head.batch} of stream {bucket:02x}: its signature is wrong"
                )
        for other in all_of:  # one that was written again after a crash holds nothing of its own
            if any(line not in known for line in other.lines):
                self.report.faults.append(
                    f"batch {other.head.batch} of stream {bucket:02x} in {other.where} is no link "
                    "of the chain, and holds events that are in none"
                )


def _head(line: bytes) -> BatchHead | None:
    try:
        msgspec.json.decode(line, type=_IsBatch)
        return msgspec.json.decode(line, type=BatchHead)
    except (msgspec.DecodeError, RecursionError):
        return None


def _torn(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False
