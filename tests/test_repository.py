"""What is in the repository: source, not what somebody built."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tools.testbed.redis_server import REPOSITORY

LARGEST = 100_000  # bytes of a binary
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}


def binaries(repository: Path) -> list[str]:
    """The tracked binaries over the limit that are no pictures of docs/."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True
    )
    files = [Path(name) for name in listed.stdout.split("\0") if name]
    found = []
    for file in files:
        path = repository / file
        if not path.is_file() or path.stat().st_size <= LARGEST:
            continue
        is_picture = file.parts[0] == "docs" and file.suffix in PICTURES
        if not is_picture and not is_text(path.read_bytes()):
            found.append(str(file))
    return found


def conflicts(repository: Path) -> list[str]:
    """The tracked files, with line numbers, that hold the markers of a merge left unfinished."""
    ran = subprocess.run(
        ["git", "grep", "-nIE", r"^(<{7}|\|{7}|>{7}) "],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    return re.findall(r"^([^:]+:\d+):", ran.stdout, re.MULTILINE)


def is_text(content: bytes) -> bool:
    if b"\0" in content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.skipif(
    not shutil.which("git") or not (REPOSITORY / ".git").exists(), reason="not a clone"
)
def test_no_large_binaries() -> None:
    """A wheel or a program that was committed by mistake stays in every clone for ever."""
    assert binaries(REPOSITORY) == []


@pytest.mark.skipif(
    not shutil.which("git") or not (REPOSITORY / ".git").exists(), reason="not a clone"
)
def test_what_tools_leave_behind_is_not_tracked() -> None:
    """What .gitignore leaves out was not committed before it did."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout == ""


@pytest.mark.skipif(
    not shutil.which("git") or not (REPOSITORY / ".git").exists(), reason="not a clone"
)
def test_no_merge_is_left_unfinished() -> None:
    """No page shows its readers two versions of a paragraph between the markers of a conflict."""
    assert conflicts(REPOSITORY) == []


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_check_finds(tmp_path: Path) -> None:
    """A planted binary is found wherever it lies; text, small ones and pictures of docs are not."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "docs").mkdir()
    for name in ("tool-1.0.whl", "docs/tool.bin", "docs/picture.png", "picture.png"):
        (tmp_path / name).write_bytes(b"\x89\0" * 60_000)
    (tmp_path / "small.bin").write_bytes(b"\0" * 1000)
    (tmp_path / "long.txt").write_text("text\n" * 30_000)
    (tmp_path / "docs/page.md").write_text("a\n" + "<" * 7 + " HEAD\nb\n=======\nc\n")
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    assert conflicts(tmp_path) == ["docs/page.md:2"]
    assert sorted(binaries(tmp_path)) == ["docs/tool.bin", "picture.png", "tool-1.0.whl"]


@pytest.mark.skipif(
    not shutil.which("git") or not (REPOSITORY / ".git").exists(), reason="not a clone"
)
def test_files_that_are_named_are_there() -> None:
    """No page, comment or docstring sends people to a file that was moved or never was."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = []
    for place in tracked:
        if not place.endswith((".py", ".lua", ".md", ".conf", ".yaml")):
            continue
        if not (REPOSITORY / place).is_file():
            continue
        text = (REPOSITORY / place).read_text(encoding="utf-8")
        for named in re.findall(r"`([\w./]+\.(?:py|lua))(?:::\w+)?`", text):
            if not any(f"/{file}".endswith(f"/{named.lstrip('./')}") for file in tracked):
                missing.append(f"{place}: {named}")
    assert missing == []
