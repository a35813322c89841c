"""The local key file: who may read it, how it comes to be, and what it opens."""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from service.errors import SealBroken, StartupError
from service.keyring.kms import local
from service.keyring.kms.local import KEY_FILE_NAME, LocalKeyFile

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/local-wrap-v1.json").read_text())
DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"
TITLE = "openshow-auth local keys, version 1"
SOME_KEY = "p5N7ZLjKpY8Dchu2us9ceMsjX+vg5wsbhM2ZVBRhoI4="

# Wraps a key as soon as all of its kind are ready, and prints it.
WRAP = """
import sys
from pathlib import Path
from service.keyring.kms.local import LocalKeyFile
provider = LocalKeyFile.at(Path(sys.argv[1]), None)
print("ready", flush=True)
sys.stdin.readline()
print(provider.wrap(bytes(range(32)), b"aad").hex())
"""

# Wraps a key in a fork of its own for each step on the way to a new file, killed before that step;
# ends with the first that has no such step any more.
KILL_BEFORE_EACH_STEP = """
import os, signal, sys
from pathlib import Path
from service.keyring.kms.local import LocalKeyFile

def count_down(name):
    call = getattr(os, name)
    def counted(*args, **kwargs):
        global steps_left
        steps_left -= 1
        if steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    setattr(os, name, counted)

for step in range(1, 100):
    child = os.fork()
    if child == 0:
        steps_left = step
        for name in ("mkdir", "open", "fsync", "link", "unlink"):
            count_down(name)
        LocalKeyFile.at(Path(sys.argv[1]) / str(step), None).wrap(bytes(32), b"aad")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(step, status)
    if status == 0:
        break
"""


@pytest.fixture
def provider(tmp_path: Path) -> LocalKeyFile:
    provider = LocalKeyFile.at(tmp_path / "var", None)
    provider.wrap(DATA_KEY, AAD)
    return provider


def key_file(path: Path, *lines: str, mode: int = 0o600) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return path


def refused(provider: LocalKeyFile, wrapped: bytes, aad: bytes = AAD) -> bool:
    try:
        provider.unwrap(wrapped, aad)
    except SealBroken:
        return True
    return False


def start_refused(provider: LocalKeyFile) -> str:
    """The line an operator sees; raises when nothing is refused."""
    with pytest.raises(StartupError) as caught:
        provider.wrap(DATA_KEY, AAD)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert SOME_KEY[:8] not in "".join(traceback.format_exception(caught.value))
    return message


def test_vectors(tmp_path: Path) -> None:
    """Version 1 of the file and of the wrapped key is what it was; every key of a file unwraps."""
    provider = LocalKeyFile.at(tmp_path, key_file(tmp_path / "given", *VECTORS["key_file"]))
    for vector in VECTORS["cases"]:
        wrapped = bytes.fromhex(vector["wrapped"])
        data_key = provider.unwrap(wrapped, vector["aad"].encode())
        assert data_key.hex() == vector["data_key"]
    newest = bytes.fromhex(VECTORS["cases"][-1]["wrapped"])
    assert provider.wrap(DATA_KEY, AAD)[:5] == newest[:5]


def test_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """The new file has mode 0600 and its directory 0700, and nothing else is left there."""
    umask = os.umask(0)
    try:
        provider = LocalKeyFile.at(tmp_path / "var", None)
        provider.wrap(DATA_KEY, AAD)
    finally:
        os.umask(umask)
    assert provider.path.stat().st_mode & 0o777 == 0o600
    assert provider.path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(provider.path.parent) == [KEY_FILE_NAME]


def test_unwraps_after_a_restart(provider: LocalKeyFile) -> None:
    """A new process with the same file opens what the one before it wrapped."""
    wrapped = provider.wrap(DATA_KEY, AAD)
    before = provider.path.read_bytes()
    again = LocalKeyFile.at(provider.path.parent, None)
    assert again.unwrap(wrapped, AAD) == DATA_KEY
    assert again.unwrap(again.wrap(DATA_KEY, AAD), AAD) == DATA_KEY
    assert provider.path.read_bytes() == before


def test_damaged_or_moved_wrapping_is_refused(provider: LocalKeyFile) -> None:
    """No flipped bit, no other length, no other aad and no other file opens a wrapped key."""
    wrapped = provider.wrap(DATA_KEY, AAD)
    for bit in range(len(wrapped) * 8):
        forged = bytearray(wrapped)
        forged[bit // 8] ^= 1 << bit % 8
        assert refused(provider, bytes(forged)), bit
    assert all(refused(provider, wrapped[:length]) for length in range(len(wrapped)))
    assert refused(provider, wrapped + b"\x00")
    assert refused(provider, wrapped, AAD + b"0")
    other = LocalKeyFile.at(provider.path.parent / "other", None)
    other.wrap(DATA_KEY, AAD)
    assert refused(other, wrapped)


def test_same_id_with_another_key_is_refused(tmp_path: Path) -> None:
    """A key that merely has the right id opens nothing."""
    ours = LocalKeyFile(key_file(tmp_path / "a", TITLE, f"00000001 {SOME_KEY}"), create=False)
    theirs = f"00000001 {SOME_KEY.swapcase()}"
    other = LocalKeyFile(key_file(tmp_path / "b", TITLE, theirs), create=False)
    assert refused(other, ours.wrap(DATA_KEY, AAD))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_file_open_to_others_stops_the_start(provider: LocalKeyFile, mode: int) -> None:
    """Any right of group or others is refused with the command that takes it away."""
    provider.path.chmod(mode)
    fix = f"chmod 600 {provider.path}"
    assert start_refused(provider).endswith(fix)
    subprocess.run(fix.split(), check=True)
    assert len(provider.wrap(DATA_KEY, AAD)) == 65


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_mounted_secret_is_read_through_its_group(
    provider: LocalKeyFile, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """A file of root's may be open to a group when somebody else reads it; to others never."""
    as_it_is = os.fstat
    monkeypatch.setattr(local.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(local.os, "fstat", lambda file: owned_by_root(as_it_is(file)))
    provider.path.chmod(mode)
    assert len(provider.wrap(DATA_KEY, AAD)) == 65
    for open_to_more in (mode | 0o020, mode | 0o010, mode | 0o004):
        provider.path.chmod(open_to_more)
        assert "is open to other users" in start_refused(provider)


def owned_by_root(found: os.stat_result) -> os.stat_result:
    return os.stat_result([*found[:4], 0, *found[5:]])


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "line 1 is not"),
        ([f"4f3a91c2 {SOME_KEY}"], "line 1 is not"),
        ([TITLE.replace("1", "2"), f"4f3a91c2 {SOME_KEY}"], "line 1 is not"),
        ([TITLE], "it holds no key"),
        ([TITLE, "# only a remark"], "it holds no key"),
        ([TITLE, SOME_KEY], "line 2 is not"),
        ([TITLE, f"4f3a91c2 {SOME_KEY}", f"4F3A91C3 {SOME_KEY}"], "line 3 is not"),
        ([TITLE, f"4f3a91c2 {SOME_KEY}", f"4f3a91c2 {SOME_KEY}"], "line 3 is not"),
        ([TITLE, f"4f3a91c2 {SOME_KEY[:-5]}"], "line 2 is not"),
        ([TITLE, f"4f3a91c2 {SOME_KEY} "], "line 2 is not"),
        ([TITLE, f"4f3a91c2 {SOME_KEY}", *["#" * 99] * 700], "larger than 65536 bytes"),
        ([TITLE, f"4f3a91c2 {SOME_KEY[:-3]}é="], "line 2 is not"),
    ],
)
def test_malformed_file_stops_the_start(tmp_path: Path, lines: list[str], complaint: str) -> None:
    """One line that says where, and repeats nothing of what stands there."""
    given = key_file(tmp_path / "given", *lines)
    message = start_refused(LocalKeyFile.at(tmp_path, given))
    assert str(given) in message
    assert complaint in message


def test_given_file_is_never_created(tmp_path: Path) -> None:
    """A path setting that leads nowhere stops the start; no key appears there."""
    given = tmp_path / "given"
    assert str(given) in start_refused(LocalKeyFile.at(tmp_path, given))
    assert os.listdir(tmp_path) == []


def test_lost_file_is_missed_and_not_replaced(provider: LocalKeyFile) -> None:
    """Neither unwrap nor a later wrap puts a new key where the old one was."""
    wrapped = provider.wrap(DATA_KEY, AAD)
    provider.path.unlink()
    assert "is missing" in start_refused(provider)
    with pytest.raises(StartupError, match="is missing"):
        LocalKeyFile.at(provider.path.parent, None).unwrap(wrapped, AAD)
    assert os.listdir(provider.path.parent) == []


@pytest.mark.parametrize("kind", ["directory", "pipe", "below a file"])
def test_what_is_no_file_stops_the_start(tmp_path: Path, kind: str) -> None:
    """A directory, a pipe (without hanging) and an impossible path are refused in one line."""
    path = tmp_path / KEY_FILE_NAME
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        key_file(tmp_path / "file")
        path = tmp_path / "file" / KEY_FILE_NAME
    assert str(path) in start_refused(LocalKeyFile.at(path.parent, None))


def test_processes_that_start_at_once_agree(tmp_path: Path, race: Any) -> None:
    """Six processes race to create the file: one key, which opens what each of them wrapped."""
    wrapped = [bytes.fromhex(printed) for printed in race(6, WRAP, tmp_path)]
    assert os.listdir(tmp_path) == [KEY_FILE_NAME]
    provider = LocalKeyFile.at(tmp_path, None)
    assert [provider.unwrap(each, b"aad") for each in wrapped] == [DATA_KEY] * 6


def test_racer_that_comes_late_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst of races, made sure of: another's file was not there at the look, and is now."""
    early, late = LocalKeyFile.at(tmp_path, None), LocalKeyFile.at(tmp_path, None)
    wrapped = []
    write_draft = local._write_draft

    def overtaken(path: Path) -> Path:
        monkeypatch.undo()
        wrapped.append(early.wrap(DATA_KEY, AAD))
        return write_draft(path)

    monkeypatch.setattr(local, "_write_draft", overtaken)
    wrapped.append(late.wrap(DATA_KEY, AAD))
    assert [early.unwrap(each, AAD) for each in wrapped] == [DATA_KEY] * 2
    assert os.listdir(tmp_path) == [KEY_FILE_NAME]


def test_kill_at_any_step_leaves_no_half_file(tmp_path: Path) -> None:
    """SIGKILL before each step: there is no file or a whole one, and the next start is clean."""
    run = subprocess.run(
        [sys.executable, "-c", KILL_BEFORE_EACH_STEP, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    outcomes = [int(line.split()[1]) for line in run.stdout.splitlines()]
    assert outcomes[-1] == 0
    assert outcomes[:-1] == [-9] * 8  # mkdir, draft, fsync, link, unlink, open, fsync; open to read
    for step in range(1, len(outcomes) + 1):
        data_dir = tmp_path / str(step)
        before = data_dir / KEY_FILE_NAME
        kept = before.read_bytes() if before.exists() else None
        provider = LocalKeyFile.at(data_dir, None)
        wrapped = provider.wrap(DATA_KEY, AAD)  # raises if the file were not whole
        assert provider.unwrap(wrapped, AAD) == DATA_KEY
        assert kept in (None, before.read_bytes())
        assert os.listdir(data_dir) == [KEY_FILE_NAME]
        assert before.stat().st_nlink == 1


def test_nothing_shows_a_key(provider: LocalKeyFile) -> None:
    """The provider's name and repr say where the file is, not what is in it."""
    key = provider.path.read_text().split()[-1]
    for shown in (repr(provider), str(provider)):
        assert str(provider.path) in shown
        assert key not in shown
