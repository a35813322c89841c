"""What mails go through: an SMTP server, or a folder."""

import asyncio
import contextlib
import os
import ssl
from pathlib import Path
from typing import Any, Protocol

import aiosmtplib
from aiosmtplib.errors import SMTPRecipientRefused

from service.errors import SettingsError
from service.mail.composing import Mail
from service.mail.mail_url import MailUrl

_PATIENCE = 20.0
"""Seconds that one step of a server may take."""

_PATIENCE_AT_THE_END = 40.0
"""Seconds that a server may take for a whole mail, which it may look into before it takes it: who
does not wait for that sends it again."""

_MOST_PER_CONNECTION = 50


class Refused(Exception):
    """This mail is refused for good (a 5xx reply): another try makes no difference."""


class NotSent(Exception):
    """The mail was not taken, or nobody knows. `for_all`: no other mail would be, either."""

    def __init__(self, reason: str, *, for_all: bool) -> None:
        super().__init__(reason)
        self.for_all = for_all


class Transport(Protocol):
    """Takes mails, one at a time. Each sender has one of its own."""

    async def send(self, mail: Mail) -> None:
        """Hand a mail over. Raises `Refused` or `NotSent`."""

    async def check(self) -> str:
        """Find out whether mails would be taken, and send none. Return a sentence, or raise."""

    async def aclose(self) -> None:
        """Leave, if there is something to leave."""


def open_transport(url: MailUrl, domain: str) -> Transport:
    """Make the transport of a URL. `domain`: the one that mails come from, in A-labels.

    Raises:
        SettingsError: the file of `ca` cannot be read.
    """
    return Folder(url.folder, url.print_links) if url.folder else SmtpServer(url, domain)


class Folder:
    """Writes each mail as a file. What is sent again replaces what was there."""

    def __init__(self, folder: Path, print_links: bool = False) -> None:
        self._folder = folder
        self._print_links = print_links

    async def send(self, mail: Mail) -> None:
        """Write the file, which is there whole or not at all, for its owner alone."""
        try:
            await asyncio.to_thread(self._write, mail)
        except OSError as error:
            raise NotSent(f"the folder takes no mail: {error.strerror}", for_all=True) from None
        if self._print_links and mail.link:
            print(f"Mail ({mail.kind}): {mail.link}", flush=True)  # noqa: T201  the URL asks for it: `links=print`

    async def check(self) -> str:
        """Make the folder, and see whether files can be made in it."""
        try:
            await asyncio.to_thread(self._make)
        except OSError as error:
            raise NotSent(f"the folder takes no mail: {error.strerror}", for_all=True) from None
        return f"mails are written into {self._folder}"

    async def aclose(self) -> None:
        """Do nothing."""

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")

    def _write(self, mail: Mail) -> None:
        self._make()
        final = self._folder / f"{mail.name}.eml"
        made = final.with_name(f".{final.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            made.unlink()  # of a process that was killed
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(mail.content)
            file.flush()
            os.fsync(file.fileno())
        made.replace(final)


class _Client(aiosmtplib.SMTP):
    """The library's, where a server that stalls would make something else of its own answer."""

    async def data(self, message: str | bytes, /, **_: Any) -> aiosmtplib.SMTPResponse:
        """Send the mail, and wait longer for what becomes of it than for other answers."""
        return await super().data(message, timeout=_PATIENCE_AT_THE_END)

    async def rset(self, **_: Any) -> aiosmtplib.SMTPResponse:
        """Do nothing: after a refusal we leave, and it counts whatever the server says to RSET."""
        return aiosmtplib.SMTPResponse(250, "")


class SmtpServer:
    """Sends over one connection, which is kept while there is more to send."""

    def __init__(self, url: MailUrl, domain: str) -> None:
        """Connect to nobody yet. `url` names the server, `domain` is whose mails it is to take."""
        self._url = url
        self._name = _name_of(domain)
        self._context = _context(url)
        self._client: aiosmtplib.SMTP | None = None
        self._sent = 0

    async def send(self, mail: Mail) -> None:
        """Hand a mail over; it is taken when the server has answered 250 to its end."""
        client = await self._connected()
        options = [] if mail.recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            await client.sendmail(mail.sender, [mail.recipient], mail.content, mail_options=options)
        except aiosmtplib.SMTPNotSupported:  # as it has said to the greeting, before the mail
            raise Refused("the server takes no addresses that are not ASCII") from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            await self.aclose()
            raise _refusal(error.recipients[0]) from None
        except aiosmtplib.SMTPResponseException as error:
            await self.aclose()
            if isinstance(error, aiosmtplib.SMTPSenderRefused) and not options:
                # It is that of all mails, and nothing else of this one was said yet.
                why = f"the server refuses the sender ({error.code})"
                raise NotSent(why, for_all=True) from None
            raise _refusal(error) from None
        except ValueError:  # the library puts no such address on a line
            await self.aclose()
            raise Refused("no server takes this address") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._drop()
            raise NotSent(f"the line was lost: {type(error).__name__}", for_all=True) from None
        except BaseException:  # cancelled, so the conversation is somewhere in the middle
            await self._drop()
            raise
        self._sent += 1

    async def check(self) -> str:
        """Connect and log in as for a mail, and leave."""
        await self._connected()
        await self.aclose()
        return f"{self._url.host}:{self._url.port} lets us send"

    async def aclose(self) -> None:
        """Say good-bye, and wait for no answer for long."""
        client, self._client, self._sent = self._client, None, 0
        if client is not None:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await client.quit()
            client.close()

    async def _drop(self) -> None:
        client, self._client, self._sent = self._client, None, 0
        if client is not None:
            client.close()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            if self._sent < _MOST_PER_CONNECTION:
                return self._client
            await self.aclose()  # not after the last mail: that is to be noted first
        await self._drop()
        url = self._url
        client = _Client(
            hostname=url.host,
            port=url.port,
            local_hostname=self._name,  # nobody's name is looked up, and no pod's is given away
            timeout=_PATIENCE,
            use_tls=url.tls == "from the start",
            start_tls={"required": True, "opportunistic": None}.get(url.tls, False),
            username=url.user or None,
            password=url.password.reveal() or None,
            tls_context=self._context,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise NotSent(_why(error), for_all=True) from None
        except BaseException:  # cancelled: nothing stays open
            client.close()
            raise
        self._client, self._sent = client, 0
        return client


def _name_of(domain: str) -> str:
    """Say who greets a server, as it asks of strangers: by a whole name (RFC 5321, section 4.1.3).

    Strict servers refuse each mail of who has none. Whose mails they are the server is told anyway.
    """
    return domain if "." in domain or domain.startswith("[") else "[127.0.0.1]"


def _context(url: MailUrl) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(url.ca) if url.ca else None)
    except (OSError, ssl.SSLError):
        raise SettingsError("SERVICE_MAIL_URL: the file of ca has no certificates") from None
    if url.tls == "opportunistic" and url.ca is None:  # RFC 7435: better than none
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _refusal(
    error: aiosmtplib.SMTPResponseException | SMTPRecipientRefused,
) -> Refused | NotSent:
    if error.code >= 500:
        return Refused(f"the server refuses it: {error.code}")
    return NotSent(f"the server answers {error.code}", for_all=False)


def _why(error: Exception) -> str:
    """Say why there is no connection, without what a server has said: that may quote anything."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"the server refuses our name or password ({error.code})"
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "there is no TLS with this server that could be trusted"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"the server does not let us in ({error.code})"
    if "STARTTLS" in str(error):
        return "the server offers no TLS"
    return "the server cannot be reached"
