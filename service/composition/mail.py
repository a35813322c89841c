"""Makes what mails: templates, the outbox, what sends from it, and notices."""

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from service.accounts.users import Users
from service.clock import Clock
from service.errors import SettingsError
from service.keyring.envelope import Keyring
from service.mail import mail_url
from service.mail.composing import Composer
from service.mail.links import Links, links_of
from service.mail.notices import NO_NOTICES, Notices
from service.mail.outbox import Count, Outbox
from service.mail.sender import Sender
from service.mail.templates import Templates
from service.mail.ticket_mails import TicketMails
from service.mail.transports import Transport, open_transport
from service.readiness.mail import mail_part
from service.readiness.status import Part
from service.redis.client import RedisClient
from service.settings import Settings
from service.tickets.tickets import Tickets


class MailParts(msgspec.Struct, frozen=True):
    """What mails need, where they are on: an outbox for use cases, and what sends from it."""

    outbox: Outbox
    templates: Templates
    composer: Composer
    open_transport: Callable[[], Transport]


def create_mail(settings: Settings, redis: RedisClient, keyring: Keyring) -> MailParts | None:
    """Create the parts of mail. `None`: it is off.

    Raises:
        SettingsError: a setting of mail is wrong, or a template.
    """
    if not settings.mail_url:
        return None
    url = read_mail_url(settings)
    templates, composer = create_composer(settings)
    return MailParts(
        Outbox(redis, keyring, settings.mail_most),
        templates,
        composer,
        lambda: open_transport(url, composer.domain),
    )


def create_composer(settings: Settings) -> tuple[Templates, Composer]:
    """Create what makes mails of messages, and the templates in it. Raises as `create_mail`."""
    templates = Templates(settings.mail_templates)
    return templates, Composer(
        templates,
        create_links(settings),
        settings.app_name,
        sender_of(settings),
        settings.mail_locale,
    )


def create_transport(settings: Settings, composer: Composer) -> Transport:
    """Create what the mails of a composer go through. Raises as `create_mail`."""
    return open_transport(read_mail_url(settings), composer.domain)


def check_mail(settings: Settings) -> None:
    """Look at the settings of mail, and what they name. Raises as `create_mail`."""
    if settings.mail_url:
        _, composer = create_composer(settings)
        create_transport(settings, composer)


def create_ticket_mails(
    mail: MailParts | None, tickets: Tickets, clock: Clock
) -> TicketMails | None:
    """Create what mails links. `None`: mail is off."""
    return TicketMails(mail.outbox, tickets, clock) if mail else None


def create_notices(
    settings: Settings, mail: MailParts | None, users: Users, clock: Clock
) -> Notices:
    """Create what tells people what happened to their accounts."""
    if mail is None or not settings.notices:
        return NO_NOTICES
    return Notices(mail.outbox, users, clock)


class Posting:
    """What sends from the outbox of this process, and tells how that goes."""

    def __init__(
        self,
        mail: MailParts,
        redis: RedisClient,
        keyring: Keyring,
        clock: Clock,
        count: Count,
    ) -> None:
        self._sender = Sender(
            redis, keyring, mail.composer, mail.outbox, mail.open_transport, clock
        )
        self._clock = clock
        mail.outbox.count = count

    async def run(self) -> None:
        """Send until it is cancelled."""
        await self._sender.run()

    def figures(self) -> tuple[int, float]:
        """Tell how many messages wait, and for how many seconds the oldest does."""
        state = self._sender.state
        waiting = self._clock().timestamp() - state.oldest if state.oldest else 0.0
        return state.queued, max(0.0, waiting)

    def part(self) -> Part:
        """Report it for readiness."""
        return mail_part(*self.figures(), self._sender.state.problem)


def create_links(settings: Settings) -> Links:
    """Create what spells the links of mails."""
    return links_of(settings.public_url, settings.reset_url, settings.verify_url)


def read_mail_url(settings: Settings) -> mail_url.MailUrl:
    """Read the URL of the transport.

    Raises:
        SettingsError: it is none; says what it must be.
    """
    try:
        return mail_url.parse(settings.mail_url.reveal())
    except ValueError as error:
        raise SettingsError(f"SERVICE_MAIL_URL {error}") from None


def sender_of(settings: Settings) -> str:
    """Return who mails come from: as set, or nobody at the issuer's host."""
    if settings.mail_from:
        return settings.mail_from
    host = urlsplit(settings.issuer).hostname or ""
    is_name = any(character.isalpha() for character in host.rpartition(".")[2]) and ":" not in host
    return f"no-reply@{host if is_name else 'localhost'}"
