"""An HSM: SoftHSM 2, with a token of its own and AES keys that cannot leave it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PIN = "1234"
TOKEN = "openshow"

_LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def library() -> Path | None:
    """SoftHSM's PKCS#11 library, if it is installed."""
    return next((Path(name) for name in _LIBRARIES if Path(name).exists()), None)


class SoftHsm:
    """The token, in a directory. A process loads the library once: there is one for all tests."""

    def __init__(self, directory: Path) -> None:
        found = library()
        assert found
        self.library = found
        self._tokens = directory / "tokens"
        self._tokens.mkdir()
        self.configuration = directory / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {self._tokens}\n"
            "objectstore.backend = file\n"
            "log.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(self.configuration)
        tool = shutil.which("softhsm2-util")
        assert tool
        subprocess.run(
            [tool, "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "5678"],
            check=True,
            capture_output=True,
        )

    def make_key(self, label: str, *, extractable: bool = False) -> None:
        """Another process makes it, as an operator would, so that no session here logs in."""
        script = (
            "import sys, pkcs11\n"
            "from pkcs11 import Attribute, KeyType\n"
            "library, label, extractable = sys.argv[1:]\n"
            f"token = pkcs11.lib(library).get_token(token_label={TOKEN!r})\n"
            f"with token.open(rw=True, user_pin={PIN!r}) as session:\n"
            "    session.generate_key(KeyType.AES, 256, label=label, store=True, template={\n"
            "        Attribute.EXTRACTABLE: extractable == 'True',\n"
            "        Attribute.SENSITIVE: extractable == 'False'})\n"
        )
        self._run(script, str(self.library), label, str(extractable))

    def rename_key(self, label: str, to: str) -> None:
        """As `make_key`."""
        script = (
            "import sys, pkcs11\n"
            "from pkcs11 import Attribute, ObjectClass\n"
            f"token = pkcs11.lib(sys.argv[1]).get_token(token_label={TOKEN!r})\n"
            f"with token.open(rw=True, user_pin={PIN!r}) as session:\n"
            "    key = session.get_key(object_class=ObjectClass.SECRET_KEY, label=sys.argv[2])\n"
            "    key[Attribute.LABEL] = sys.argv[3]\n"
        )
        self._run(script, str(self.library), label, to)

    def _run(self, script: str, *arguments: str) -> None:
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)
