"""Counts what requests came to, by route, status and error code alone.

Here is the only place that does: whoever adds a route that logs in, checks a code, or opens or
ends sessions adds a row to a table below. Sessions that end unasked are not seen here: those that
expire, and the oldest of a user that has too many, which is an audit event.
"""

from prometheus_client import Counter

_LOGINS = Counter("openshow_logins", "Logins with a password, by what they came to.", ("outcome",))
_SIGNUPS = Counter("openshow_signups", "Sign-ups, by what they came to.", ("outcome",))
_REFRESHES = Counter("openshow_refreshes", "Refreshes, by what they came to.", ("outcome",))
_REAUTHENTICATIONS = Counter(
    "openshow_reauthentications", "Proofs anew, by what they came to.", ("outcome",)
)
_PASSWORD_CHANGES = Counter(
    "openshow_password_changes", "Changes of a password, by what they came to.", ("outcome",)
)
_PASSWORD_RESETS = Counter(
    "openshow_password_resets", "Links for a new password, by what they came to.", ("outcome",)
)
_PROVIDER_LOGINS = Counter(
    "openshow_provider_logins",
    "Logins and links at OpenID providers that came back, by what they came to.",
    ("outcome",),
)
_EMAIL_LINKS = Counter(
    "openshow_email_links",
    "Links for addresses that were followed, by what they were for and what they came to.",
    ("purpose", "outcome"),
)
_CODES = Counter(
    "openshow_second_factors",
    "Codes of a second factor, by what they were for and what they came to.",
    ("door", "outcome"),
)
_OPENED = Counter("openshow_sessions_opened", "Sessions opened, by what opened them.", ("by",))
_ENDED = Counter("openshow_sessions_ended", "Sessions ended before their time.", ("reason",))

_SUCCESS, _NEEDS_CODE = "success", "second_factor_needed"
_OTHER = "error"
"""The outcome of a failure without a code: the process has failed, or was stopped."""

_OPERATOR, _PROVIDER = "operator", "provider"

_Door = tuple[Counter, tuple[str, ...]]

_DOORS: dict[str, _Door] = {
    "/auth/signup": (_SIGNUPS, ()),
    "/auth/login": (_LOGINS, ()),
    "/auth/refresh": (_REFRESHES, ()),
    "/auth/reauthenticate": (_REAUTHENTICATIONS, ()),
    "/auth/password/change": (_PASSWORD_CHANGES, ()),
    "/auth/password/reset": (_PASSWORD_RESETS, ()),
    "/auth/email/verify": (_EMAIL_LINKS, ("verify",)),
    "/auth/email/change/confirm": (_EMAIL_LINKS, ("change",)),
    "/auth/email/change/undo": (_EMAIL_LINKS, ("undo",)),
    "/auth/oauth/complete": (_PROVIDER_LOGINS, ()),
    "/auth/login/2fa": (_CODES, ("login",)),
    "/auth/2fa/verify": (_CODES, ("enrolment",)),
    "/auth/2fa/disable": (_CODES, ("disable",)),
    "/auth/2fa/recovery-codes": (_CODES, ("recovery_codes",)),
}
"""By route (all are POST): the counter, and its labels before the outcome."""

_OPENINGS = {
    ("/auth/signup", 201): "signup",
    ("/auth/login", 200): "login",
    ("/auth/login/2fa", 200): "second_factor",
    ("/auth/password/change", 200): "password_change",
}
_ENDINGS = {
    ("/auth/logout", 204, ""): "logout",
    ("/auth/sessions/{id}", 204, ""): "user",
    ("/auth/refresh", 401, "refresh_token_reused"): "reuse",
}
"""What ends one session. `ended` counts what ends several."""

_REASONS = ("all", "passwordChanged", "reset", "user.deleted", "userGone", "disabled",
            "accountChanged", "revoked", "provider", "emailChanged", "emailChangeUndone",
            "twoFA.enabled", "twoFA.disabled", "twoFA.recoveryCodesRenewed")  # fmt: skip
"""Reasons of cut-offs, as events have them."""

_EXPECTED = {
    _SIGNUPS: (_SUCCESS, "email_taken", "weak_password", "rate_limited"),
    _LOGINS: (_SUCCESS, _NEEDS_CODE, "invalid_credentials", "rate_limited", "service_unavailable"),
    _REFRESHES: (
        _SUCCESS, "invalid_refresh_token", "refresh_token_reused", "rate_limited",
        "service_unavailable",
    ),
    _REAUTHENTICATIONS: (_SUCCESS, "invalid_password", "invalid_code", "rate_limited"),
    _PASSWORD_CHANGES: (_SUCCESS, "invalid_password", "weak_password", "rate_limited"),
    _EMAIL_LINKS: (_SUCCESS, "invalid_verification_token"),
    _PASSWORD_RESETS: (_SUCCESS, "invalid_reset_token", "weak_password"),
    _PROVIDER_LOGINS: (_SUCCESS, _NEEDS_CODE, "invalid_grant", "link_required"),
    _CODES: (_SUCCESS, "invalid_code", "rate_limited", "service_unavailable"),
}  # fmt: skip
"""Outcomes that are told from the start, as 0: a rate over a series that just began is none."""


def _begin_at_zero() -> None:
    for counter, labels in _DOORS.values():
        for outcome in _EXPECTED[counter]:
            counter.labels(*labels, outcome)
    for by in (*_OPENINGS.values(), _PROVIDER):
        _OPENED.labels(by)
    for reason in (*_ENDINGS.values(), *_REASONS, _OPERATOR):
        _ENDED.labels(reason)


_begin_at_zero()


def counters_of(route: str, method: str, status: int, code: str) -> tuple[Counter, ...]:
    """Find what a request counts under. `code` is that of an error; '' where there is none."""
    found: list[Counter] = []
    if method == "POST" and route in _DOORS:
        counter, labels = _DOORS[route]
        found.append(counter.labels(*labels, _outcome(status, code)))
    if (by := _OPENINGS.get((route, status))) is not None:
        found.append(_OPENED.labels(by))
    if (reason := _ENDINGS.get((route, status, code))) is not None:
        found.append(_ENDED.labels(reason))
    return tuple(found)


def opened_by_provider() -> None:
    """Count a session that was opened by a login at a provider: a link has the same status."""
    _OPENED.labels(_PROVIDER).inc()


def ended(reason: str, sessions: int) -> None:
    """Count so many sessions that have ended at once. What an operator has written is no label."""
    _ENDED.labels(reason if reason in _REASONS else _OPERATOR).inc(sessions)


def _outcome(status: int, code: str) -> str:
    if status == 202:
        return _NEEDS_CODE
    return _SUCCESS if 200 <= status < 300 else code or _OTHER
