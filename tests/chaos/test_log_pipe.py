"""A log whose reader stops: whoever writes to it as usual waits, and nothing is lost."""

import subprocess
import sys
from pathlib import Path

from tools.testbed.log_pipe import LogPipe
from tools.testbed.waiting import wait_until

LINES = 500
_WRITE = f"for number in range({LINES}): print('line', number, flush=True)"


def test_a_reader_stops_and_reads_on(tmp_path: Path) -> None:
    """Meanwhile the writer hangs; afterwards it ends, and the file has every line in order."""
    pipe = LogPipe(tmp_path / "log")
    pipe.stop_reading()
    with pipe.open() as log:
        writer = subprocess.Popen([sys.executable, "-c", _WRITE], stdout=log)
    state = Path(f"/proc/{writer.pid}/wchan")
    wait_until(lambda: "pipe" in state.read_text())
    assert writer.poll() is None
    assert (tmp_path / "log").read_bytes() == b""
    pipe.read_on()
    assert writer.wait(timeout=20) == 0
    expected = [f"line {number}" for number in range(LINES)]
    wait_until(lambda: (tmp_path / "log").read_text().splitlines() == expected)


def test_each_process_begins_anew(tmp_path: Path) -> None:
    """What the one before has written is not in the way."""
    pipe = LogPipe(tmp_path / "log")
    for said in ("first", "second"):
        with pipe.open() as log:
            log.write(f"{said}\n".encode())
    wait_until(lambda: (tmp_path / "log").read_text() == "second\n")
