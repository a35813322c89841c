"""Checks mail: whether the server lets us in, or the folder takes files. Nothing is sent."""

from service.cli.doctor.findings import Finding, fault, ok
from service.composition.mail import create_composer, create_transport
from service.mail.transports import NotSent
from service.settings import Settings

_PART = "mail"


async def check_mail_transport(settings: Settings) -> list[Finding]:
    """Connect and log in as for a mail, and leave. Where mail is off there is nothing to say.

    Raises:
        SettingsError: a setting of mail is wrong, or a template.
    """
    if not settings.mail_url:
        return []
    _, composer = create_composer(settings)
    transport = create_transport(settings, composer)
    try:
        return [ok(_PART, await transport.check())]
    except NotSent as error:
        advice = "see to SERVICE_MAIL_URL; `openshow-auth mail test ADDRESS` tries again"
        return [fault(_PART, error, advice)]
    finally:
        await transport.aclose()
