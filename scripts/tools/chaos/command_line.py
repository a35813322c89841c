"""The command line: nothing but Python, so that --help comes before anything is installed."""

from pathlib import Path
from typing import get_args

from tools.chaos.schedule import CONTROLS, TOPOLOGIES, UserStore
from tools.report import arguments
from tools.report.arguments import Parser

_DESCRIPTION = """\
Clients of three pods go on while their servers are killed, stopped, cut off, moved and restored.

Starts Redis servers behind proxies, one user store and three service processes, all on loopback and
in a temporary directory. People sign up, log in, refresh, log out, enrol and change their
passwords, some of them dishonestly, operators disable and delete accounts and end sessions, while a
schedule of faults that follows from the seed runs. Every answer is noted as
ok, refused or unknown. When all is healed, everything is asked for once more, and the whole history
is checked: no revoked session comes back, none is lost without a cause, no family has two live
refresh tokens, no code counts twice, no account is lost, and no new password goes with an old
session.
"""

_EPILOG = """\
The schedule of a seed is always the same; which request meets which fault is not, so a violation
may take several runs to show again. Its history is kept in a file that holds no secret.
A control switches a protection off, and so must end with violations.

  scripts/chaos --seed 7                        a schedule of six seconds
  scripts/chaos --seed 7 --runs 20              seeds 7 to 26
  scripts/chaos --topology cluster --minutes 10
  scripts/chaos --restore --runs 20             Redis goes back in time
  scripts/chaos --sinks --runs 20
  scripts/chaos --displace --minutes 10         whose events a flood pushes out
  scripts/chaos --control everysec              must fail
"""


def parser() -> Parser:
    """Make the command line's parser."""
    made = arguments.parser("chaos", _DESCRIPTION, _EPILOG)
    option = made.option
    option("--seed", int, None, "of the schedule (default: 1)", 1)
    option("--minutes", float, None, "of faults (default: 0.1)", 0.1)
    option("--runs", int, None, "with one seed after the other", 1)
    option("--people", int, None, "at once (default: 8)", 8)
    what = "of Redis (default: the seed chooses)"
    option("--topology", str, None, what, choices=TOPOLOGIES)
    option("--users", str, None, "store (default: sqlite)", "sqlite", choices=get_args(UserStore))
    what = "copy events to sinks, whose receiver has bad days, and check the copies"
    made.flag("--sinks", what)
    what = "flood the events by one account and by strangers instead, and look for others' events"
    made.flag("--displace", what)
    option("--control", str, None, "switch a protection off", choices=CONTROLS)
    made.flag("--restore", "Redis goes back to an earlier copy, and nothing else")
    made.flag("--flush", "Redis is emptied")
    option("--keep", Path, "DIRECTORY", "for histories (default: .)", Path())
    return made


if __name__ == "__main__":
    parser().parse_args()
