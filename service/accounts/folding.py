"""The form in which texts are compared that look alike."""

import unicodedata


def folded(text: str) -> str:
    """Return `text` after NFKC and case folding: what people take for the same is the same."""
    return unicodedata.normalize("NFKC", text).casefold()
