"""The operator's file of known passwords: both kinds, of any size, and the wrong ones."""

import hashlib
import os
from pathlib import Path

import pytest
from tools.testbed.service_process import ServiceProcess

from service.accounts import blocklist as module
from service.accounts.blocklist import Blocklist
from service.accounts.password_policy import PasswordPolicy
from service.errors import SettingsError, WeakPassword
from service.settings import Secret

KNOWN = ["Tr0ub4dor&3", "correct horse", "pässwörter", "ﬃ-ligature", "zz top zz", "Ⅸ golden rings"]
UNKNOWN = "a password of nobody"


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def write(path: Path, lines: list[str], end: str = "\n") -> Blocklist:
    path.write_bytes("".join(line + end for line in lines).encode())
    return Blocklist(path)


def refuses(blocklist: Blocklist, password: str) -> bool:
    try:
        PasswordPolicy(blocklist=blocklist).check(password)
    except WeakPassword as error:
        return "known to others" in str(error)
    return False


FORMS = {
    "passwords": KNOWN,
    "sorted": sorted(sha1(text).upper() + ":7" for text in KNOWN),
    "lower case": sorted(sha1(text) + ":7" for text in KNOWN),
    "without counts": sorted(sha1(text).upper() for text in KNOWN),
    "by count": sorted((sha1(text) + ":7" for text in KNOWN), reverse=True),
    "mixed case": sorted((sha1(t).upper() if "o" in t else sha1(t) for t in KNOWN), key=str.upper),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_it_is_refused(tmp_path: Path, form: str, end: str) -> None:
    """Proves that each known password is found in each form of file, and no other one is."""
    blocklist = write(tmp_path / "list", FORMS[form], end)
    assert [text for text in KNOWN if not refuses(blocklist, text)] == []
    assert not refuses(blocklist, UNKNOWN)


def test_spellings_count_as_one(tmp_path: Path) -> None:
    """Proves that case and width do not help, in a list of passwords and in one of digests."""
    passwords = write(tmp_path / "passwords", ["Tr0ub4dor&3"])
    digests = write(tmp_path / "digests", [sha1("tr0ub4dor&3")])
    for blocklist in (passwords, digests):
        for spelt in ("Tr0ub4dor&3", "TR0UB4DOR&3", "ｔｒ０ｕｂ４ｄｏｒ＆３"):
            assert refuses(blocklist, spelt)


@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n\n"])
def test_first_and_last_are_found(tmp_path: Path, tail: str) -> None:
    """Proves that the search has no blind end, with or without an end of the last line."""
    texts = [f"password number {number}" for number in range(1001)]
    lines = sorted(f"{sha1(text).upper()}:{len(text) ** 3}" for text in texts)
    path = tmp_path / "list"
    path.write_text("\n".join(lines) + tail)
    blocklist = Blocklist(path)
    assert blocklist._sorted is not None
    assert all(blocklist.holds(text) for text in texts)
    assert not any(blocklist.holds(text + "!") for text in texts)


def test_an_empty_line_between_loses_nothing(tmp_path: Path) -> None:
    """Proves that a sorted file with gaps is read another way."""
    blocklist = write(tmp_path / "list", [line + "\n" for line in FORMS["sorted"]])
    assert all(map(blocklist.holds, KNOWN))


def test_a_large_file_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that of a large file samples decide whether it is sorted, and both ways find all."""
    monkeypatch.setattr(module, "_LARGEST_CHECKED", 0)
    texts = [f"password number {number}" for number in range(5000)]
    lines = sorted(sha1(text) for text in texts)
    in_order = write(tmp_path / "sorted", lines)
    shuffled = write(tmp_path / "shuffled", lines[2500:] + lines[:2500])
    assert (in_order._sorted is None, shuffled._sorted is None) == (False, True)
    assert all(map(in_order.holds, texts))
    assert all(map(shuffled.holds, texts))


@pytest.mark.parametrize("before", ["\ufeff", "\n", " \r\n\n", "\ufeff\n"])
@pytest.mark.parametrize("form", FORMS)
def test_what_stands_before_the_first_line_changes_nothing(
    tmp_path: Path, form: str, before: str
) -> None:
    """Proves that digests are not taken for passwords, which would refuse nothing, because of a
    byte order mark or an empty line."""
    path = tmp_path / "list"
    path.write_text(before + "\n".join(FORMS[form]), encoding="utf-8")
    assert [text for text in KNOWN if not refuses(Blocklist(path), text)] == []


WRONG: dict[str, bytes] = {
    "is empty": b"",
    "it is empty": b"\n \r\n\xef\xbb\xbf"[:4],
    "has a digest in line 3": f"# list\npassword\n{sha1('a')}:1\n".encode(),
    "has a digest in line 2": f"password\n{sha1('a')}\n".encode(),
    "digests of another form": f"{sha1('a')[5:]}:1\n".encode(),
    "digests of another form, not 40": f"{sha1('a')[:32]}:1\n".encode(),
    "another form, not 40 hex digits": f"{sha1('a')[:32] * 2}\n".encode(),
    "form, not 40 hex digits and :COUNT": f"{sha1('a')}, 1\n".encode(),
    "has no UTF-8 text in line 1": b"password\rpassword1\r",
    "has no UTF-8 text in line 2": b"password\n\xff\xfe\n",
    "UTF-8 text in line 1": b"\x00\x01\x02binary",
    "has none in line 2": sha1("a").encode() + b":1\nnot a digest\n",
    "has none in line 1000": (sha1("a").encode() + b"\n") * 999 + b"0" * 39 + b"\n",
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_are_told(tmp_path: Path, what: str) -> None:
    """Proves that one line names the setting and says what is wrong, without the content."""
    path = tmp_path / "list"
    path.write_bytes(WRONG[what])
    with pytest.raises(SettingsError, match="SERVICE_PASSWORD_BLOCKLIST must be") as refused:
        Blocklist(path)
    assert what in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_file_stops_the_start(tmp_path: Path) -> None:
    """Proves that the service does not start with a list that it cannot read, and says so once."""
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        code, said = ServiceProcess(
            tmp_path,
            Secret("redis://127.0.0.1:1"),
            SERVICE_PASSWORD_BLOCKLIST=str(file),
        ).refusal()
        assert code == 2
        assert [line for line in said.splitlines() if "SERVICE_PASSWORD_BLOCKLIST" in line] == [
            "openshow-auth: SERVICE_PASSWORD_BLOCKLIST must be a file of passwords or of SHA-1"
            " digests, one a line; it cannot be read"
        ]
        assert "Traceback" not in said
