from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.embedded.server import EmbeddedServer
from tests.processes.program import Program


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start programs, all on one data directory unless told otherwise."""
    started: list[Program] = []

    def start(*command: str, data_dir: Path = tmp_path / "var", **settings: str) -> Program:
        started.append(Program(data_dir, *command, **settings))
        return started[-1]

    yield start
    for program in started:
        program.clear_away()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Make embedded servers, all on one data directory unless told otherwise."""
    made: list[EmbeddedServer] = []

    def make(data_dir: Path = tmp_path / "var", binary: Path | None = None) -> EmbeddedServer:
        made.append(EmbeddedServer(data_dir, binary))
        return made[-1]

    yield make
    for server in made:
        server.stop()
