"""Bodies of operators' HTTP. They have the fields that the commands print with `--json`."""

from collections.abc import Sequence
from datetime import datetime

from service.accounts.user_rows import User
from service.api_keys.keys import ApiKey
from service.authentication.account_limits import LimitInForce
from service.clock import timestamp
from service.operators.lookup import AccountDetails
from service.sessions.record import Session
from service.web.routes.bodies import Body, Timestamp, UserBody, user_body


class ReasonBody(Body, frozen=True):
    """Why a change is made: one line, for its event."""

    reason: str


class AccountBody(UserBody, frozen=True):
    """An account as operators see it."""

    password_changed_at: Timestamp | None
    disabled_at: Timestamp | None


class AccountsBody(Body, frozen=True):
    """Accounts by id, and where the next page begins; `null` at the end."""

    users: list[AccountBody]
    next: str | None


class LimitBody(Body, frozen=True):
    """A limit that is reached, and for how many seconds."""

    limit: str
    retry_after: int


class AccountSessionBody(Body, frozen=True):
    """A living session as operators see it."""

    id: str
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    ip_address: str | None
    user_agent: str | None


class AccountDetailsBody(AccountBody, frozen=True):
    """An account with its living sessions, newest first, and the limits that it has reached.

    `limits` is `null` where the keys by which they are counted do not open.
    """

    sessions: list[AccountSessionBody]
    limits: list[LimitBody] | None


class EndedBody(Body, frozen=True):
    """How many sessions have ended."""

    revoked: int


class CutOffBody(Body, frozen=True):
    """The end of everybody's sessions: `confirm` must say `everybody`."""

    confirm: str
    reason: str


class EventsBody(Body, frozen=True):
    """Audit events, newest first, and where the next page begins; `null` at the end."""

    events: list[dict[str, str]]
    next: str | None


class GuardsBody(Body, frozen=True):
    """The guards, as `guards --json` prints them, by pod."""

    guards: list[dict[str, object]]


class NewApiKeyBody(Body, frozen=True):
    """The API key to make. Without `expiresAt` it does not expire."""

    name: str
    scopes: list[str]
    reason: str
    expires_at: datetime | None = None


class ApiKeyBody(Body, frozen=True):
    """An API key, without its text. `lastUsedAt` is some minutes behind."""

    id: str
    name: str
    scopes: Sequence[str]
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    last_used_at: Timestamp | None


class ApiKeysBody(Body, frozen=True):
    """All API keys, the oldest first."""

    api_keys: list[ApiKeyBody]


class MadeApiKeyBody(Body, frozen=True):
    """A new API key, and its text, which is not shown again."""

    api_key: ApiKeyBody
    key: str


def account_body(user: User) -> AccountBody:
    """Make the body of an account."""
    shown = user_body(user)
    return AccountBody(
        id=shown.id,
        email=shown.email,
        email_verified=shown.email_verified,
        two_fa=shown.two_fa,
        created_at=shown.created_at,
        password_changed_at=_at(user.password_changed_at),
        disabled_at=_at(user.disabled_at),
    )


def details_body(details: AccountDetails) -> AccountDetailsBody:
    """Make the body of an account with its sessions and limits."""
    account = account_body(details.user)
    return AccountDetailsBody(
        **{name: getattr(account, name) for name in account.__struct_fields__},
        sessions=[_session_body(each) for each in details.sessions],
        limits=None if details.limits is None else [_limit_body(each) for each in details.limits],
    )


def api_key_body(key: ApiKey) -> ApiKeyBody:
    """Make the body of an API key."""
    return ApiKeyBody(
        id=key.id.hex(),
        name=key.name,
        scopes=key.scopes,
        created_at=timestamp(key.created_at),
        expires_at=_at(key.expires_at),
        revoked_at=_at(key.revoked_at),
        last_used_at=_at(key.last_used_at),
    )


def _session_body(session: Session) -> AccountSessionBody:
    return AccountSessionBody(
        id=session.id.hex(),
        created_at=timestamp(session.opened_at),
        last_used_at=timestamp(session.last_used_at),
        expires_at=timestamp(session.expires_at),
        ip_address=session.ip_address,
        user_agent=session.user_agent,
    )


def _limit_body(limit: LimitInForce) -> LimitBody:
    return LimitBody(limit.limit, limit.retry_after)


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
