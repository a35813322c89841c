"""HTTP for hvac, which would read an answer whole, however long it is."""

import io
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

_LARGEST = 65_536
"""Bytes of an answer. Those of Vault to what we ask have a few hundred."""


class TooLong(RequestException):
    """The answer is longer than any of Vault's."""


def bounded_session(ca_file: str) -> requests.Session:
    """Make a session whose answers are bounded. `ca_file`: whom to trust; empty: as usual.

    What it is asked for raises `TooLong`, or another `RequestException`.
    """
    session = requests.Session()
    session.verify = ca_file or True
    session.headers["Accept-Encoding"] = "identity"  # what is read is as long as what comes of it
    for scheme in ("http://", "https://"):
        session.mount(scheme, _BoundedAdapter())
    return session


class _BoundedAdapter(HTTPAdapter):
    """Reads of an answer no more than tells whether it is too long."""

    def send(self, *arguments: Any, **named: Any) -> requests.Response:
        answer = super().send(*arguments, **named | {"stream": True})
        try:
            body = answer.raw.read(_LARGEST + 1)
        except HTTPError as error:
            raise requests.ConnectionError(error) from None
        finally:
            answer.close()
        if len(body) > _LARGEST:
            raise TooLong
        answer.raw = io.BytesIO(body)
        return answer
