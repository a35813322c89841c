"""The script of this package."""

from typing import Any

from service.redis.scripts import Key, script


@script(
    text="""
redis.call('XADD', events, '*', 'type', event, 'user', '', 'ip', ip, 'request', request,
  'key', key, 'name', name, 'scopes', scopes, 'reason', reason, 'by', by)
if redis.call('XLEN', events) > EVENTS_MAX then make_room(events) end
"""
)
def note(
    *,
    events: Key,
    event: str,
    ip: str,
    request: str,
    key: str,
    name: str,
    scopes: str,
    reason: str,
    by: str,
) -> Any:
    """Note a change of an API key: an event of no user."""
