"""The ACL users that redis.conf proposes in comments. Tests run as these."""

import re
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "redis.conf"
PASSWORD = "CHANGE-ME"
SERVICE, GUARD, ASKING_GUARD = "openshow-service", "openshow-guard", "openshow-guard-asking"


def users(*more: str) -> dict[str, list[str]]:
    """The rules of each user, by name, and after them `more`."""
    lines = re.findall(r"^# user (\S+) (.+)$", CONFIGURATION.read_text(encoding="utf-8"), re.M)
    return {name: [*rules.split(), *more] for name, rules in lines}


def in_a_cluster() -> list[str]:
    """The rules that every user needs besides in a cluster."""
    [rules] = re.findall(r"^# (\+cluster.+)$", CONFIGURATION.read_text(encoding="utf-8"), re.M)
    return str(rules).split()


def options(*more: str) -> list[str]:
    """What a server is started with so that it knows the users."""
    return [part for name, rules in users(*more).items() for part in ("--user", name, *rules)]
