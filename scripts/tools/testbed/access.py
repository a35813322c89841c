"""The ACL users that redis.conf proposes in comments. Tests run as these."""

import re
from pathlib import Path

from service.settings import Secret

CONFIGURATION = Path(__file__).parents[3] / "redis.conf"
PASSWORD = "CHANGE-ME"
SERVICE, GUARD, ASKING_GUARD = "openshow-service", "openshow-guard", "openshow-guard-asking"
EVENTS = "openshow-events"


def lines(file: Path = CONFIGURATION) -> dict[str, str]:
    """Find the lines that a file proposes, from `user` on, by the name of the user."""
    found = re.findall(r"^(?:# )?(user (\S+) .+)$", file.read_text(encoding="utf-8"), re.M)
    return {name: line for line, name in found}


def users() -> dict[str, list[str]]:
    """Find the rules of each user, by name; without `default`, as whom tests come in."""
    return {name: line.split()[2:] for name, line in lines().items() if name != "default"}


def in_a_cluster() -> dict[str, list[str]]:
    """Find the rules that each user needs besides in a cluster."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    more = dict(re.findall(r"^# (the service|an? [a-z ]+) in a cluster: (.+)$", text, re.M))
    service, guard = more["the service"].split(), more["a guard"].split()
    reader = more["a reader of events"].split()
    return {SERVICE: service, GUARD: guard, ASKING_GUARD: guard, EVENTS: reader}


def write(directory: Path, *, cluster: bool) -> Path:
    """Write a file for a server's `aclfile` with these users in it, beside `default`."""
    more = in_a_cluster() if cluster else {}
    file = directory / "users.acl"
    lines = [" ".join(["user", name, *users()[name], *more.get(name, ())]) for name in users()]
    file.write_text("\n".join(lines) + "\n")
    return file


class Addressed:
    """Servers with an address, `url`, which is that of Redis' user `default`."""

    url: Secret

    def url_of(self, user: str) -> Secret:
        """Make the address for one of the ACL users of redis.conf."""
        return url_as(user, self.url)


def url_as(user: str, url: Secret) -> Secret:
    """Make a Redis URL without credentials one for this user."""
    return Secret(url.reveal().replace("://", f"://{user}:{PASSWORD}@", 1))
