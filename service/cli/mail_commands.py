"""The command `openshow-auth mail test ADDRESS`: a mail sent at once, or what is wrong with it."""

import asyncio
from collections.abc import Callable
from typing import Any

from service.errors import SettingsError, StartupError
from service.settings import Settings


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add `mail` to the commands of the program. `read` gives the settings when one is run."""
    mail = commands.add_parser(
        "mail",
        help="send a mail as a test",
        description="Send a mail by SERVICE_MAIL_URL, beside a service that runs or without one.",
    )
    actions = mail.add_subparsers(title="actions", required=True, metavar="action", dest="action")
    test = actions.add_parser(
        "test",
        help="send one to an address, and say what is wrong if it does not go",
        description="Send one to an address, and say what is wrong if it does not go.",
    )
    test.add_argument("address", help="where it goes")
    test.set_defaults(run=lambda options: _test(read(), options.address))


def _test(settings: Settings, address: str) -> int:
    """Send a mail now, past the outbox. Return the exit code.

    Raises:
        StartupError: it was not sent; says why.
    """
    from service.clock import system_clock
    from service.composition.mail import create_composer, create_transport
    from service.mail.composing import NotSendable
    from service.mail.messages import new_message
    from service.mail.transports import NotSent, Refused

    if not settings.mail_url:
        raise SettingsError("SERVICE_MAIL_URL is not set, so mail is off")
    _, composer = create_composer(settings)
    transport = create_transport(settings, composer)

    async def send() -> None:
        try:
            await transport.send(composer.compose(new_message("test", address, "", system_clock())))
        finally:
            await transport.aclose()

    try:
        asyncio.run(send())
    except NotSendable:
        raise StartupError("no mail can go to this address") from None
    except (NotSent, Refused) as error:
        raise StartupError(f"the mail was not sent: {error}") from None
    print(f"A mail to {address} was sent.")
    return 0
