"""Makes a mail (RFC 5322) of a message: headers, plain text and HTML."""

from collections.abc import Mapping
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses

import idna
import msgspec

from service.clock import moment
from service.errors import SettingsError
from service.mail.links import Links
from service.mail.messages import LINKS, Message, spell
from service.mail.templates import Templates

_POLICY = policy.SMTP.clone(max_line_length=998)


class Mail(msgspec.Struct, frozen=True):
    """A mail as it is handed over. `name` is good for a file; `link` is a secret."""

    sender: str
    recipient: str
    content: bytes
    name: str
    kind: str
    link: str

    def __repr__(self) -> str:
        return f"Mail(name={self.name!r}, kind={self.kind!r})"


class NotSendable(Exception):
    """No mail can be made of a message: another try makes no difference."""


class Composer:
    """Makes mails that come from `sender`, an address or `Name <address>`."""

    def __init__(
        self, templates: Templates, links: Links, app_name: str, sender: str, locale: str
    ) -> None:
        """Take what all mails share. `locale` is that of those who have none.

        Raises:
            SettingsError: the sender is no address; or there is no such locale.
        """
        self._templates = templates
        self._links = links
        self._app = app_name
        self._locale = locale
        try:
            [(name, address)] = getaddresses([sender])
            local, _, domain = _wire(address).rpartition("@")
            if not local.isascii():  # not every server takes it, and it stands in every mail
                raise NotSendable("no address for everybody")
            self._from = Address(name or app_name, local, domain)
        except (NotSendable, ValueError):
            raise SettingsError(
                "SERVICE_MAIL_FROM must be an address, or Name <address>, ASCII before the @"
            ) from None
        if locale not in templates.locales:
            raise SettingsError(
                f"SERVICE_MAIL_LOCALE must be one of {', '.join(templates.locales)}"
            )

    @property
    def domain(self) -> str:
        """The domain that mails come from, in A-labels, or an address in brackets."""
        return self._from.domain

    def compose(self, message: Message) -> Mail:
        """Make the mail of a message: the same at each try.

        Raises:
            NotSendable: its address cannot stand in a mail.
        """
        recipient = _wire(message.address)
        link = ""
        if message.kind in LINKS:
            link = self._links.to(LINKS[message.kind], message.token)
        try:
            shown = self._templates.render(
                message.kind, message.locale or self._locale, self._values(message, link)
            )
            mail = EmailMessage(policy=_POLICY)
            mail["From"] = self._from
            mail["Subject"] = shown.subject
            mail["Date"] = message.made
            mail["Message-ID"] = f"<{message.id.hex()}@{self._from.domain}>"
            mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
            mail.set_content(shown.text, cte=_encoding(shown.text))
            markup = shown.html.encode("ascii", "xmlcharrefreplace").decode()
            mail.add_alternative(markup, subtype="html", cte="7bit")
        except (ValueError, KeyError):
            raise NotSendable("its parts make no mail") from None
        utf8 = not recipient.isascii()
        content = mail.as_bytes(policy=_POLICY.clone(utf8=True) if utf8 else _POLICY)
        # The library would decode what looks like an encoded word (RFC 2047), line breaks and all;
        # an address is none (section 5).
        content = b"To: " + recipient.encode() + b"\r\n" + content
        made = f"{message.made:%Y%m%dT%H%M%S}.{message.made_at % 1000:03}Z"
        name = f"{made}-{message.kind}-{message.id.hex()[:12]}"
        return Mail(self._from.addr_spec, recipient, content, name, message.kind, link)

    def _values(self, message: Message, link: str) -> Mapping[str, str]:
        values = {"app": self._app, "account": self._links.account, "link": link}
        if message.good_until:
            values["until"] = spell(moment(message.good_until))
        return {**values, **message.values}


def _encoding(text: str) -> str:
    return "7bit" if text.isascii() else "quoted-printable"


def _wire(address: str) -> str:
    """Spell an address as SMTP and headers take it: the domain in A-labels (RFC 5891).

    What is not ASCII before the @ stays, and takes a server with SMTPUTF8 (RFC 6531).
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or any(not character.isprintable() for character in address):
        raise NotSendable("no address")
    if domain.startswith("["):  # an address literal
        if not domain.isascii():
            raise NotSendable("no address")
        return address
    try:
        return f"{local}@{idna.encode(domain, uts46=True, transitional=False).decode()}"
    except idna.IDNAError:
        raise NotSendable("no address") from None
