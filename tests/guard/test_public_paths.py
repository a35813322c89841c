"""The list of public paths: what is on it, and no second spelling of it."""

import pytest

from service.guard.public_paths import PublicPaths

LISTED = PublicPaths(["/", "/health", "/static/", "/v1/docs/"])


@pytest.mark.parametrize(
    "path", ["/", "/health", "/static/", "/static/app.js", "/static/a/b.c/", "/v1/docs/x~y@2,3"]
)
def test_what_is_listed_is_public(path: str) -> None:
    """A path itself, and all below one that ends with a slash."""
    assert LISTED({"path": path, "raw_path": path.encode()})
    assert LISTED({"path": path})


@pytest.mark.parametrize(
    "path",
    [
        "", "//", "/Health", "/health/", "/healthy", "/health/..", "/static", "/statics/app.js",
        "/v1/", "/static/../orders", "/static/./orders", "/static/..", "/static/.", "/static//x",
        "/static/..;/orders", "/static/x;y", "/static/%2e%2e/orders", "/static/..%2forders",
        "/static\\..\\orders", "/static/..\\orders", "/static/x\0", "/static/x\n", "/static/．．/o",
        "/static/é", "/x/static/a", "/orders?/static/", "/static/a?b", "/static/a#b", "static/a",
    ],
)  # fmt: skip
def test_what_is_not_listed_is_not(path: str) -> None:
    """Nothing beside it, and nothing that a proxy or framework could read as something else."""
    assert not LISTED({"path": path, "raw_path": path.encode("utf-8")})


@pytest.mark.parametrize(
    ("path", "raw"),
    [("/static/a", b"/static%2Fa"), ("/health", b"/he%61lth"), ("/static/a", b"/static/%61?x")],
)
def test_no_escapes(path: str, raw: bytes) -> None:
    """A plain path has no need of them."""
    assert not LISTED({"path": path, "raw_path": raw})


def test_a_query_may_be_escaped() -> None:
    """Should a server leave it on the raw path, against the specification."""
    assert LISTED({"path": "/health", "raw_path": b"/health?a=%20"})


@pytest.mark.parametrize(
    ("root", "path", "public"),
    [
        ("/api", "/api/health", True),
        ("/api", "/health", True),
        ("/api", "/api", False),
        ("/api", "/apihealth", False),
        ("/api", "/static/api/orders", False),
        ("/api", "/api/static/api/orders", True),
        ("", "/api/health", False),
    ],
)
def test_where_the_app_is_mounted(root: str, path: str, public: bool) -> None:
    """Paths count from the mount; where frameworks would disagree on where that is, none does."""
    assert LISTED({"path": path, "root_path": root}) is public


@pytest.mark.parametrize(
    "paths",
    [
        "/health",
        ["health"],
        [""],
        ["/a b"],
        ["/x/../y"],
        ["/a;b"],
        None,
        7,
        b"/health",
        [b"/health"],
        [None],
        [7],
        [["/health"]],
    ],
)
def test_what_cannot_be_listed(paths: object) -> None:
    """A mistake in the list is told at the start."""
    with pytest.raises(ValueError, match="path"):
        PublicPaths(paths)  # type: ignore[arg-type]
