"""What schemathesis asks of answers besides its own checks; its runs load this."""

from typing import Any

import schemathesis
from schemathesis.core.transport import Response


@schemathesis.check
def what_the_document_allows_is_no_bad_request(ctx: Any, response: Response, case: Any) -> None:
    """A body by its schema may be refused for what it means, but not for its form."""
    by_schema = case.meta is not None and case.meta.generation.mode.is_positive
    if by_schema and response.status_code == 400:
        error = response.json()["error"]
        code = error if isinstance(error, str) else error["code"]  # RFC 6749, section 5.2, or ours
        if error == "invalid_request" and "came twice" in response.text:
            return  # a schema cannot say that a field of a form comes once
        assert code not in ("bad_request", "invalid_request"), response.text
