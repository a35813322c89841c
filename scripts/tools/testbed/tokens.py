"""A session that exists nowhere, for tokens that need no Redis, and tokens with any content."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from service.sessions.record import Authentication, Session
from tools.testbed.parts import SIGNING_KEYS

_NOW = datetime.now(UTC)

SESSION = Session(
    user_id=os.urandom(16),
    id=os.urandom(12),
    generation=0,
    opened_at=_NOW - timedelta(hours=1),
    last_used_at=_NOW,
    expires_at=_NOW + timedelta(days=1),
    authentication=Authentication.PASSWORD,
    ip_address=None,
    user_agent=None,
    authenticated_at=_NOW - timedelta(minutes=1),
)


def sign(claims: dict[str, Any], **header: Any) -> str:
    """Make a token with the issuer's own key, and whatever claims and header."""
    key = SIGNING_KEYS.active
    header = {"typ": "at+jwt", "kid": key.kid} | header
    return jwt.encode(claims, key.private_key, "ES256", headers=header)
