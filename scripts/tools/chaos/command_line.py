"""The command line: nothing but Python, so that --help comes before anything is installed."""

import argparse
from pathlib import Path

TOPOLOGIES = ("standalone", "sentinel", "cluster")
USER_STORES = ("sqlite", "postgresql")
CONTROLS = (
    "everysec", "no-wait", "one-of-two", "redis-retries",
    "old-map", "blocking-log", "old-rows", "any-clock",
)  # fmt: skip

_DESCRIPTION = """\
Clients of three pods go on while their servers are killed, stopped, cut off, moved and restored.

Starts Redis servers behind proxies, one user store and three service processes, all on loopback and
in a temporary directory. People sign up, log in, refresh, log out and enrol, some of them
dishonestly, while a schedule of faults that follows from the seed runs. Every answer is noted as
ok, refused or unknown. When all is healed, everything is asked for once more, and the whole history
is checked: no revoked session comes back, none is lost without a cause, no family has two live
refresh tokens, no code counts twice, no account is lost.
"""

_EPILOG = """\
The schedule of a seed is always the same; which request meets which fault is not, so a violation
may take several runs to show again. Its history is kept in a file that holds no secret.
A control switches a protection off, and so must end with violations.

  scripts/chaos --seed 7                        a schedule of six seconds
  scripts/chaos --seed 7 --runs 20              seeds 7 to 26
  scripts/chaos --topology cluster --minutes 10
  scripts/chaos --control everysec              must fail
"""


def parser() -> argparse.ArgumentParser:
    """The command line's."""
    made = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--seed", type=int, default=1, help="of the schedule (default: 1)")
    made.add_argument("--minutes", type=float, default=0.1, help="of faults (default: 0.1)")
    made.add_argument("--runs", type=int, default=1, help="with one seed after the other")
    made.add_argument("--people", type=int, default=8, help="at once (default: 8)")
    made.add_argument("--topology", choices=TOPOLOGIES, help="of Redis (default: the seed chooses)")
    made.add_argument(
        "--users", choices=USER_STORES, default="sqlite", help="store (default: sqlite)"
    )
    made.add_argument("--control", choices=CONTROLS, help="switch a protection off")
    made.add_argument(
        "--keep", type=Path, default=Path(), metavar="DIRECTORY", help="for histories (default: .)"
    )
    return made


if __name__ == "__main__":
    parser().parse_args()
