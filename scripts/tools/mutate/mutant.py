"""A mutant: one file with one thing changed."""

import msgspec


class Mutant(msgspec.Struct, frozen=True):
    """`path` is relative to the repository; `source` is all of the file as the mutant has it."""

    path: str
    line: int
    change: str
    source: str

    @property
    def name(self) -> str:
        """Where it is and what it does, on one line."""
        return f"{self.path}:{self.line}: {self.change}"
