"""The forms in which texts are compared that look alike."""

import unicodedata


def normal(text: str) -> str:
    """Return `text` after NFKC: what passwords are compared by."""
    return unicodedata.normalize("NFKC", text)


def folded(text: str) -> str:
    """Return `text` after NFKC and case folding: what people take for the same is the same."""
    return normal(text).casefold()
