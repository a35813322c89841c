"""Makes the use cases that mail links."""

from service.accounts.email_changes import EmailChanges
from service.authentication.email_change import EmailChange
from service.authentication.email_verification import EmailVerification
from service.authentication.password_reset import ResetLinks, ResetRequests
from service.authentication.pending_sign_ups import PendingSignUps
from service.authentication.sign_up_mails import NO_SIGN_UP_MAILS, SignUpMails
from service.composition.shared import Shared


def create_reset_requests(shared: Shared) -> ResetRequests:
    """Create what mails links for a new password to whoever asks."""
    links = ResetLinks(shared.tickets, shared.settings.reset_ttl, shared.ticket_mails)
    return ResetRequests(shared.users, shared.rate_limits, shared.attempts, links)


def create_email_verification(shared: Shared) -> EmailVerification:
    """Create what verifies addresses."""
    return EmailVerification(
        shared.redis,
        shared.identities,
        shared.users,
        EmailChanges(shared.engine),
        shared.sessions.cut_offs,
        shared.tickets,
        shared.ticket_mails,
        shared.rate_limits,
        shared.clock,
    )


def create_email_change(shared: Shared) -> EmailChange:
    """Create what changes addresses."""
    return EmailChange(
        shared.identities,
        shared.recent,
        shared.users,
        EmailChanges(shared.engine),
        shared.sessions.cut_offs,
        shared.tickets,
        shared.ticket_mails,
        shared.rate_limits,
        shared.notices,
        shared.clock,
    )


def create_sign_up_mails(shared: Shared) -> SignUpMails:
    """Create what a sign-up mails, as `SERVICE_EMAIL_VERIFICATION` says."""
    if shared.mail is None or shared.ticket_mails is None:
        return NO_SIGN_UP_MAILS
    locale, mode = shared.mail.templates.locale, shared.settings.email_verification
    pending = PendingSignUps(
        shared.users,
        EmailChanges(shared.engine),
        shared.ticket_mails,
        shared.rate_limits,
        shared.clock,
    )
    return SignUpMails(
        pending if mode == "required" else None,
        create_email_verification(shared) if mode == "optional" else None,
        locale,
    )
