"""What is mutated: the modules whose loss would cost a person their account, and their tests."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec


class Target(msgspec.Struct, frozen=True):
    """Files, as a pattern under the repository, and the tests that should notice a change."""

    pattern: str
    tests: tuple[str, ...]


TARGETS: Sequence[Target] = (
    Target(
        "service/sessions/row_version.lua",  # the scripts of the second factor have it
        ("tests/sessions/test_row_version.py", "tests/twofactor"),
    ),
    Target("service/sessions/*.lua", ("tests/sessions",)),
    Target("service/twofactor/prov*", ("tests/authentication/test_reauthentication.py",)),
    Target("service/twofactor/*.lua", ("tests/twofactor",)),
    Target(
        "service/redis/probe.lua",
        ("tests/redis/test_probe.py", "tests/redis/test_rights.py", "tests/test_readiness.py"),
    ),
    Target(
        "service/account_lifecycle/*",
        ("tests/account_lifecycle", "tests/authentication/test_own_account.py"),
    ),
    Target("service/tickets/*", ("tests/tickets",)),
    Target("service/operators/*", ("tests/operators",)),
    Target("service/sessions/*.py", ("tests/sessions",)),
    Target("service/twofactor/*.py", ("tests/twofactor",)),
    Target("service/authentication/owners.py", ("tests/sessions/test_owners.py",)),
    Target("service/authentication/password_reset.py", ("tests/operators",)),
    Target("service/accounts/account_changes.py", ("tests/accounts/test_account_changes.py",)),
    Target(
        "service/authentication/*.py",
        ("tests/accounts", "tests/authentication", "tests/twofactor"),
    ),
    Target(
        "service/rate_limits/*",
        (
            "tests/test_rate_limits.py",
            "tests/twofactor/test_code_limits.py",
            "tests/twofactor/test_codes_in_a_row.py",
            "tests/authentication/test_password_attempts.py",
        ),
    ),
    Target("service/accounts/blocklist.py", ("tests/accounts/test_blocklist.py",)),
    Target("service/accounts/emails.py", ("tests/accounts/test_emails.py",)),
    Target("service/accounts/fair_queue.py", ("tests/accounts/test_fair_queue.py",)),
    Target("service/accounts/hashing.py", ("tests/accounts/test_hashing.py",)),
    Target("service/accounts/password_policy.py", ("tests/accounts/test_password_policy.py",)),
    Target("service/accounts/passwords.py", ("tests/accounts/test_passwords.py",)),
    Target("service/accounts/*.py", ("tests/accounts", "tests/twofactor")),
    Target("service/keyring/envelope.py", ("tests/keyring/test_envelope.py",)),
    Target("service/access_tokens/*.py", ("tests/sessions/test_access_tokens.py", "tests/guard")),
    Target("service/guard/cursor.py", ("tests/guard/test_cursor.py", "tests/guard/test_feed.py")),
    Target("service/guard/entries.py", ("tests/guard/test_entries.py",)),
    Target("service/guard/cut_offs.py", ("tests/guard/test_cut_offs.py",)),
    Target(
        "service/guard/revocations.py",
        (
            "tests/guard/test_revocations.py",
            "tests/guard/test_cut_offs.py",
            "tests/guard/test_clocks.py",
        ),
    ),
    Target("service/guard/path_rules.py", ("tests/guard/test_path_rules.py",)),
    Target("service/guard/*.py", ("tests/guard",)),
    Target("service/redis/refusals.py", ("tests/redis/test_refusals.py",)),
    Target("service/redis/election.py", ("tests/redis/test_election.py",)),
    Target("service/redis/cluster_map.py", ("tests/redis/test_cluster.py",)),
    Target("service/redis/rights.py", ("tests/redis/test_rights.py",)),
    Target("service/redis/feed_mark*.py", ("tests/redis/test_feed_marking.py",)),
    Target("service/web/addresses.py", ("tests/web/test_forwarded.py",)),
    Target(
        "service/web/headers.py",
        ("tests/web/test_header_values.py", "tests/web/test_several_headers.py"),
    ),
    Target(
        "service/web/authentication.py",
        (
            "tests/web/test_order.py",
            "tests/web/test_headers.py",
            "tests/web/test_public.py",
            "tests/web/test_requests.py",
            "tests/web/test_several_headers.py",
        ),
    ),
    Target(
        "service/web/requests.py",
        (
            "tests/web/test_requests.py",
            "tests/web/test_several_headers.py",
            "tests/web/test_middleware.py",
        ),
    ),
    Target("service/web/chunks.py", ("tests/web/test_chunks.py", "tests/web/test_framing.py")),
    *(
        Target(
            f"service/web/{module}.py",
            (
                "tests/web/test_messages.py",
                "tests/web/test_turns.py",
                "tests/web/test_framing.py",
                "tests/web/test_limits.py",
                "tests/web/test_pipelining.py",
                "tests/web/test_deadlines.py",
                "tests/web/test_crowd.py",
            ),
        )
        for module in ("protocol", "parsing", "connection")
    ),
    Target(
        "service/serving/connections.py", ("tests/web/test_turns.py", "tests/web/test_crowd.py")
    ),
)


def chosen(root: Path, only: Sequence[str]) -> Iterator[tuple[Path, Target]]:
    """Choose files, each once, by its first target; `only`: parts of paths, none for all."""
    seen = set()
    for target in TARGETS:
        for path in sorted(root.glob(target.pattern)):
            if path in seen or path.name == "__init__.py":
                continue
            seen.add(path)
            name = str(path.relative_to(root))
            if not only or any(part in name for part in only):
                yield path.relative_to(root), target
