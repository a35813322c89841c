"""Bodies of operators' HTTP. They have the fields that the commands print with `--json`."""

from datetime import datetime

from service.accounts.user_rows import User
from service.operators import documents
from service.operators.lookup import AccountDetails
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


class AccountDetailsBody(AccountBody, frozen=True):
    """An account with its living sessions, newest first, and the limits that it has reached.

    `limits` is `null` where the keys by which they are counted do not open.
    """

    sessions: list[documents.SessionDocument]
    limits: list[documents.LimitDocument] | None


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


class ApiKeysBody(Body, frozen=True):
    """All API keys, the oldest first."""

    api_keys: list[documents.ApiKeyDocument]


class MadeApiKeyBody(Body, frozen=True):
    """A new API key, and its text, which is not shown again."""

    api_key: documents.ApiKeyDocument
    key: str


class NewRelyingPartyBody(Body, frozen=True):
    """The relying party to register. `sessionRequired`: each logout token has to name a session."""

    reason: str
    client_id: str
    backchannel_logout_uri: str
    session_required: bool = True


class RelyingPartiesBody(Body, frozen=True):
    """All relying parties that are registered, the oldest first."""

    relying_parties: list[documents.RelyingPartyDocument]


def account_body(user: User) -> AccountBody:
    """Make the body of an account."""
    shown = user_body(user)
    return AccountBody(
        id=shown.id,
        email=shown.email,
        email_verified=shown.email_verified,
        two_fa=shown.two_fa,
        created_at=shown.created_at,
        password_changed_at=documents.at(user.password_changed_at),
        disabled_at=documents.at(user.disabled_at),
    )


def details_body(details: AccountDetails) -> AccountDetailsBody:
    """Make the body of an account with its sessions and limits."""
    account = account_body(details.user)
    return AccountDetailsBody(
        **{name: getattr(account, name) for name in account.__struct_fields__},
        sessions=[documents.session(each) for each in details.sessions],
        limits=None
        if details.limits is None
        else [documents.limit(each) for each in details.limits],
    )
