"""The links in mails: made of settings alone, never of what a request says of its host."""

import msgspec


class Links(msgspec.Struct, frozen=True):
    """Where links lead. The token stands in the fragment, which no server gets to see."""

    account: str
    """The account page, or whatever stands in its place."""
    reset: str = ""
    verify: str = ""
    """Pages of an app's own, for new passwords and for addresses; empty: the account page."""

    def to(self, action: str, token: str) -> str:
        """Spell the link of an action (`messages.LINKS`)."""
        page = self.reset if action == "reset" else self.verify
        return f"{page or self.account}#{action}={token}"


def links_of(public_url: str, reset: str = "", verify: str = "") -> Links:
    """Make the links of a service that is reached at `public_url`."""
    return Links(f"{public_url.rstrip('/')}/account", reset, verify)
