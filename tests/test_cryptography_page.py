"""docs/cryptography.md names every algorithm that the code uses, with the file that uses it."""

import ast
import re
from pathlib import Path

from tools.testbed.redis_server import REPOSITORY

PAGE = (REPOSITORY / "docs/cryptography.md").read_text(encoding="utf-8")

ALGORITHMS = {
    "hashlib.sha1": "SHA-1",
    "hashlib.sha256": "SHA-256",
    "hashlib.sha384": "SHA-384",
    "hashlib.sha512": "SHA-512",
    "hashlib.scrypt": "scrypt",
    "hashlib.pbkdf2_hmac": "PBKDF2",
    "bcrypt.hashpw": "bcrypt",
    "bcrypt.checkpw": "bcrypt",
    "pyotp.TOTP": "TOTP",
    "AESGCM": "AES-256-GCM",
    "HKDF": "HKDF-SHA-256",
    "ECDSA": "ECDSA P-256",
    "ECAlgorithm": "ECDSA P-256",
    "Ed25519PrivateKey.from_private_bytes": "Ed25519",
    "generate_private_key": "ECDSA P-256",
    "os.urandom": "random",
    "secrets.token_bytes": "random",
    "secrets.token_hex": "random",
    "secrets.token_urlsafe": "random",
    "secrets.randbelow": "random",
    "secrets.randbits": "random",
}
"""Calls, with the name that the page has for them; those of `hmac` name their hash themselves."""

HARMLESS = {"hmac.compare_digest", "bcrypt.gensalt", "secrets.compare_digest"}
LIBRARIES = ("hashlib", "hmac", "secrets", "bcrypt", "pyotp")


def uses_of(source: str) -> set[str]:
    """The algorithms that a module calls. One that is not known here is named as it is called."""
    tree, found = ast.parse(source), set()
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in LIBRARIES
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        called = ast.unparse(node.func)
        called = imported.get(called, called)
        if called == "HMAC" and len(node.args) == 2:  # that of `cryptography`
            found.add(f"HMAC-{ast.unparse(node.args[1]).strip('()').replace('SHA', 'SHA-')}")
        elif called in ("hmac.digest", "hmac.new"):
            hashed: str = ast.literal_eval(node.args[2])
            found.add(f"HMAC-{hashed.upper().replace('SHA', 'SHA-')}")
        elif called in ALGORITHMS:
            found.add(ALGORITHMS[called])
        elif re.fullmatch(rf"({'|'.join(LIBRARIES)})\.\w+", called) and called not in HARMLESS:
            found.add(called)
    return found


def in_code() -> set[tuple[str, str]]:
    """Files and what they use; generated files and tests aside."""
    folder = REPOSITORY / "service"
    return {
        (str(path.relative_to(folder)), use)
        for path in folder.rglob("*.py")
        for use in uses_of(path.read_text(encoding="utf-8"))
    }


def on_page() -> set[tuple[str, str]]:
    """The same by the table of the page: algorithms in its second column, files in the last."""
    pairs = set()
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] not in ("use", "---"):
            for file in re.findall(r"`([\w/]+\.py)`", cells[5]):
                pairs |= {(file, algorithm) for algorithm in cells[1].split(", ")}
    return pairs


def test_the_page_is_the_inventory() -> None:
    """Nothing is used that it does not name, and it names nothing that is not used."""
    code, page = in_code(), on_page()
    assert sorted(code - page) == []
    assert sorted(page - code) == []


def test_each_key_has_its_life() -> None:
    """Every key that the keyring holds is on the page."""
    source = Path(REPOSITORY / "service/keyring/keys.py").read_text(encoding="utf-8")
    for key in ("signing", "refresh_mac", "pepper", "email_digest"):
        assert key in source
        assert f"`{key.replace('_', '-')}`" in PAGE


def test_the_scan_sees_each_spelling() -> None:
    """Calls by module, by imported name, by alias; and what it does not know shows as it is."""
    assert uses_of("import hashlib\nhashlib.sha256(b'')") == {"SHA-256"}
    assert uses_of("from hashlib import sha256 as h\nh(b'')") == {"SHA-256"}
    assert uses_of("import hmac\nhmac.digest(k, m, 'sha384')") == {"HMAC-SHA-384"}
    assert uses_of("import hashlib\nhashlib.md5(b'')") == {"hashlib.md5"}
    assert uses_of("import hmac\nhmac.compare_digest(a, b)") == set()
