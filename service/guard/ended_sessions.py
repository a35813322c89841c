"""A set of session ids in little memory: some 17 bytes for each id of 12.

The ids lie one after the other in blocks of some two dozen, and the last four bytes of an id say in
which block it is. Where there are too many for the blocks that there are, one block is split in
two, one after the other (linear hashing, Litwin 1980): no step ever moves more than one block, so
a guard that learns of a million ends never stands still to make room. A dict takes five times as
much.
"""

SIZE = 12
"""Bytes of a session id. They are random, so blocks fill alike."""

_FULL = 24
"""Ids for each block, on average. Blocks are to stay below the 512 bytes of Python's own pools."""


class EndedSessions:
    """Holds ids of sessions; exact, and to be used in one thread."""

    __slots__ = ("_blocks", "_count", "_round")

    def __init__(self) -> None:
        self._blocks = [b""]
        self._count = 0
        self._round = 1
        """How many blocks there were when the present round of splitting began."""

    def __len__(self) -> int:
        return self._count

    def __contains__(self, session_id: bytes) -> bool:
        block = self._blocks[self._place(session_id)]
        return session_id in block and _has(block, session_id)

    def add(self, session_id: bytes) -> None:
        """Take an id in, if it is not there.

        Raises:
            ValueError: it is of another size.
        """
        if len(session_id) != SIZE:
            raise ValueError(f"a session id has {SIZE} bytes")
        blocks = self._blocks
        place = self._place(session_id)
        block = blocks[place]
        if session_id in block and _has(block, session_id):
            return
        blocks[place] = block + session_id
        self._count += 1
        if self._count > _FULL * len(blocks):
            self._split()

    def _place(self, session_id: bytes) -> int:
        place = int.from_bytes(session_id[8:], "big") & (2 * self._round - 1)
        return place if place < len(self._blocks) else place - self._round

    def _split(self) -> None:
        """Move half of the next block of this round into a new one."""
        blocks = self._blocks
        place = len(blocks) - self._round
        ids = [blocks[place][at : at + SIZE] for at in range(0, len(blocks[place]), SIZE)]
        goes = [bool(int.from_bytes(it[8:], "big") & self._round) for it in ids]
        blocks[place] = b"".join(it for it, moves in zip(ids, goes, strict=True) if not moves)
        blocks.append(b"".join(it for it, moves in zip(ids, goes, strict=True) if moves))
        if len(blocks) == 2 * self._round:
            self._round *= 2


def _has(block: bytes, session_id: bytes) -> bool:
    """Tell whether one of the ids is this one: what lies across two of them is none."""
    found = block.find(session_id)
    while found > 0 and found % SIZE:
        found = block.find(session_id, found + 1)
    return found >= 0
