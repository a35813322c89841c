"""Carries out `openshow-auth sessions ...` and `cutoff`."""

from contextlib import suppress

from service.cli import account_texts as texts
from service.cli.account_command import AccountCommand
from service.errors import StartupError
from service.operators import documents
from service.sessions.refresh_tokens import SESSION_ID


async def list_sessions(command: AccountCommand) -> int:
    """List the living sessions of an account."""
    if command.options.user is None:
        command.options.user = command.options.user_option
    sessions = await command.does.sessions.of(await command.user())
    return command.tell(
        {"sessions": [documents.session(each) for each in sessions]}, *texts.session_lines(sessions)
    )


async def end_session(command: AccountCommand) -> int:
    """End one session of an account."""
    user = await command.user()
    named = command.options.session.lower()
    document: dict[str, object] = {"user": user.id.hex(), "session": named}
    session_id = _session_id(named)
    if session_id is None:
        raise StartupError("that is no id of a session: it has 24 hex digits")
    if not command.options.yes:
        lives = session_id in [each.id for each in await command.does.sessions.of(user)]
        what = "is ended" if lives else "has ended already"
        return command.dry_run({**document, "lives": lives}, f"the session {named} {what}")
    ended = await command.does.sessions.end(user.id, session_id, command.request)
    what = "has ended." if ended else f"is none of {texts.name(user)}, or not any more."
    return command.tell({**document, "changed": ended}, f"The session {named} {what}")


async def cut_off(command: AccountCommand) -> int:
    """End everybody's sessions."""
    if not command.options.yes:
        return command.dry_run({}, "everybody's sessions end, on all pods at once")
    await command.does.sessions.end_everybody(command.request)
    return command.tell({"changed": True}, "Everybody's sessions have ended.")


def _session_id(named: str) -> bytes | None:
    with suppress(ValueError):
        if len(named) == 2 * SESSION_ID and len(found := bytes.fromhex(named)) == SESSION_ID:
            return found
    return None
