"""Carries out `openshow-auth relying-parties ...`."""

from collections.abc import Sequence

from service.cli import account_texts as texts
from service.cli.account_command import AccountCommand
from service.errors import InvalidField, SettingsError
from service.operators import documents
from service.relying_parties.administration import NewRelyingParty
from service.relying_parties.parties import RelyingParty


async def create(command: AccountCommand) -> int:
    """Register a relying party."""
    options, request = command.options, command.request
    new = NewRelyingParty(
        options.client_id, options.backchannel_logout_uri, options.session_required
    )
    try:
        party, changed = await command.does.relying_parties.create(
            new, request.origin, by=request.by, reason=request.reason
        )
    except InvalidField as error:
        raise SettingsError(error.message) from None
    done = "is told of each session that ends from now on" if changed else "was registered before"
    return command.tell(
        {"relyingParty": documents.relying_party(party), "changed": changed},
        f"{party.client_id} {done}. Its sink is {party.sink}.",
    )


async def list_parties(command: AccountCommand) -> int:
    """List the relying parties, the oldest first."""
    parties = await command.does.relying_parties.all()
    return command.tell(
        {"relyingParties": [documents.relying_party(party) for party in parties]}, *_lines(parties)
    )


async def remove(command: AccountCommand) -> int:
    """End the registration of a relying party."""
    options, request = command.options, command.request
    parties = command.does.relying_parties
    party, client_id = await parties.find(options.client_id), options.client_id
    if party is None:
        return command.tell(
            {"relyingParty": client_id, "changed": False}, f"{client_id} was removed before."
        )
    if not options.yes:
        return command.dry_run(
            {"relyingParty": client_id}, f"{client_id} is told of no session any more"
        )
    await parties.remove(party, request.origin, by=request.by, reason=request.reason)
    return command.tell(
        {"relyingParty": client_id, "changed": True},
        f"{client_id} is removed, and told nothing any more in two seconds.",
    )


def _lines(parties: Sequence[RelyingParty]) -> list[str]:
    if not parties:
        return ["There are no relying parties."]
    rows = [
        (
            party.client_id,
            "of each session" if party.session_required else "of sessions or users",
            party.sink,
            party.backchannel_logout_uri,
        )
        for party in parties
    ]
    return texts.table([("client id", "is told", "sink", "URI"), *rows])
