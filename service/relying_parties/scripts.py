"""The script of this package."""

from typing import Any

from service.redis.scripts import Key, script


@script(
    text="""
redis.call('XADD', events, '*', 'type', event, 'user', '', 'ip', ip, 'request', request,
  'client', client, 'reason', reason, 'by', by)
if redis.call('XLEN', events) > EVENTS_MAX then make_room(events) end
"""
)
def note(
    *, events: Key, event: str, ip: str, request: str, client: str, reason: str, by: str
) -> Any:
    """Note a change of a relying party: an event of no user."""
