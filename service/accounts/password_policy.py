"""The policy for new passwords. Nothing here decides about a login."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from service.accounts.blocklist import Blocklist
from service.accounts.folding import folded, normal
from service.errors import InvalidField, WeakPassword

SHORTEST = 8
LONGEST = 1024
COMMON = 3000


@functools.cache
def common_passwords(shortest: int) -> frozenset[str]:
    """Return the 3,000 most common passwords of `shortest` characters, or as many as are known."""
    ranked = map(folded, _lists()["passwords"])
    return frozenset([password for password in ranked if len(password) >= shortest][:COMMON])


def _lists() -> Mapping[str, Sequence[str]]:
    """Load zxcvbn's lists, the most common first, and nothing else of it.

    The package itself loads an estimator, for which every start would wait.
    """
    package = find_spec("zxcvbn")
    folder = package and package.submodule_search_locations
    assert folder  # noqa: S101  it is installed with us, as a folder of files
    module = ModuleType("frequency_lists")
    file = Path(folder[0], f"{module.__name__}.py")
    SourceFileLoader(module.__name__, str(file)).exec_module(module)
    lists: Mapping[str, Sequence[str]] = module.FREQUENCY_LISTS
    return lists


class PasswordPolicy:
    """The rules for new passwords.

    `app_name` is what people know the service by, `blocklist` a file of the operator's.
    """

    def __init__(
        self, shortest: int = SHORTEST, app_name: str = "", blocklist: Blocklist | None = None
    ) -> None:
        self._shortest = shortest
        self._app_name = app_name
        self._common = common_passwords(shortest)
        self._blocklist = blocklist

    def check(self, password: str, email: str = "") -> None:
        """Decide whether `password` may become that of the account with this `email`.

        Its length is counted in characters, as sent and after NFKC: both must fit.

        Raises:
            InvalidField: longer than 1,024 characters.
            WeakPassword: too short, or one that others try first; the message says which.
        """
        spelt = check_length(password)
        if min(len(password), len(spelt)) < self._shortest:
            raise WeakPassword(
                f"The password is too short: use at least {self._shortest} characters."
            )
        text = folded(password)
        if len(set(text)) == 1:
            raise WeakPassword("The password is one character repeated: choose another.")
        if text in self._common:
            raise WeakPassword("The password is one of the most common ones: choose another.")
        if any(_is_decorated(word, text) for word in _words(self._app_name, email)):
            raise WeakPassword(
                "The password is the e-mail address or the name of this app, with little more:"
                " choose another."
            )
        if self._blocklist is not None and self._blocklist.holds(password, spelt, text):
            raise WeakPassword("The password is known to others: choose another.")


def check_length(password: str, field: str = "password") -> str:
    """Refuse what is too long to be looked at, naming the `field`. Return it after NFKC.

    Raises:
        InvalidField: longer than 1,024 characters.
    """
    too_long = InvalidField(field, f"The password is longer than {LONGEST:,} characters.")
    if len(password) > LONGEST:  # before it is normalized, which takes its time
        raise too_long
    spelt = normal(password)
    if len(spelt) > LONGEST:
        raise too_long
    return spelt


def _words(app_name: str, email: str) -> Iterator[str]:
    """Yield what is guessed first for this account: as it is, and its letters and digits alone."""
    address = folded(email.strip())
    for word in (folded(app_name.strip()), address, address.rpartition("@")[0].strip('"')):
        yield word
        yield "".join(filter(str.isalnum, word))


def _is_decorated(word: str, text: str) -> bool:
    """Tell whether `text` is `word` with nothing but digits, punctuation and the like around it."""
    if not word:
        return False
    bare = "".join(filter(str.isalnum, text))
    return _surrounded(word, text) or _surrounded(word, bare)


def _surrounded(word: str, text: str) -> bool:
    start = text.find(word)
    while start >= 0:
        around = text[:start] + text[start + len(word) :]
        if not any(map(str.isalpha, around)):
            return True
        start = text.find(word, start + 1)
    return False
