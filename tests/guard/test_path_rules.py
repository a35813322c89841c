"""What a path asks for: what is required holds in every spelling, what is open in one."""

from datetime import timedelta
from typing import Any

import pytest

from service.guard.path_rules import PathRules
from service.guard.rules import CLOSED, OPTIONAL, PUBLIC, Requirement

OTP = Requirement(methods={"otp"})
RECENT = Requirement(max_age=600)
REQUIRE = {"/pay": RECENT, "/admin/": OTP, "/admin/keys/": RECENT, "/shop/till": OTP}
RULES = PathRules(["/health", "/admin/logo.svg"], ["/", "/shop/"], REQUIRE)


def asked(path: str, rules: PathRules = RULES, **more: Any) -> tuple[set[str], timedelta | None]:
    rule = rules({"path": path, "raw_path": path.encode("utf-8", "surrogatepass"), **more})
    assert rule.credential == "required", path
    return set(rule.requirement.methods), rule.requirement.max_age


MINUTES = timedelta(minutes=10)
ALL = ({"otp"}, MINUTES)


@pytest.mark.parametrize(("path", "what"), [
    ("/pay", (set(), MINUTES)), ("/admin/users", ({"otp"}, None)), ("/admin/", ({"otp"}, None)),
    ("/admin/keys/7", ALL), ("/admin/keys/", ALL), ("/shop/till", ({"otp"}, None)),
])  # fmt: skip
def test_what_is_required(path: str, what: Any) -> None:
    """A path itself, all below one that ends with a slash, and of several all."""
    assert asked(path) == what


@pytest.mark.parametrize(
    "path", ["/pay/x", "/payments", "/administrators", "/orders", "/x/admin/y"]
)
def test_other_paths_need_a_token_only(path: str) -> None:
    """Nothing more is asked beside and below what is listed."""
    assert RULES({"path": path}) is CLOSED


@pytest.mark.parametrize("path", ["/pay/", "/PAY", "/admin", "/Admin/users", "/shop/till/"])
def test_other_spellings_of_one_path(path: str) -> None:
    """To some frameworks a slash at the end, or capitals, make no other path."""
    listed = path.lower().rstrip("/")
    assert asked(path) == asked(listed if listed in REQUIRE else f"{listed}/")


@pytest.mark.parametrize("path", [
    "//pay", "/orders//x", "/./pay", "/x/../pay", "/x/..", "/pay;x", "/x;/../pay", "/%70ay",
    "/x%2Fy", "/pay%00", "/pay\0", "/x\\..\\pay", "\\pay", "/pay\n", "/pay?x", "/pay#x", "", "*",
    "pay", "/x/.",
])  # fmt: skip
def test_a_path_with_two_readings_asks_for_all(path: str) -> None:
    """One of them may be any that is listed."""
    assert asked(path) == ALL


@pytest.mark.parametrize(("root", "path", "what"), [
    ("/api", "/api/pay", (set(), MINUTES)), ("/api", "/pay", (set(), MINUTES)),
    ("/admin", "/admin/orders", ({"otp"}, None)), ("/api", "/x/api/pay", ALL),
    ("/api", "/api", ALL),
])  # fmt: skip
def test_where_the_app_is_mounted(root: str, path: str, what: Any) -> None:
    """With the prefix of the mount or without: what either reading asks for."""
    assert asked(path, root_path=root) == what


@pytest.mark.parametrize("path", ["/straße/menu", "/a b", "/files/ü%", "/x~y@2,3"])
def test_paths_of_other_characters(path: str) -> None:
    """Are no second reading of anything, unless there is an escape left in them."""
    assert (RULES({"path": path}) is CLOSED) == ("%" not in path)


def test_what_is_open() -> None:
    """Public ones, also below what is required; optional ones, but what is required below them."""
    told = {path: RULES({"path": path}) for path in ("/health", "/admin/logo.svg", "/", "/shop/x")}
    assert list(told.values()) == [PUBLIC, PUBLIC, OPTIONAL, OPTIONAL]
    assert RULES({"path": "/shop/", "raw_path": b"/shop/%2e"}).credential == "required"
    assert PathRules([], ["/shop/"], {})({"path": "/shop/%2e"}) is CLOSED


def test_all_of_it() -> None:
    """`/` requires for the whole app, also where a path is none."""
    rules = PathRules(["/health"], [], {"/": OTP})
    for path in ("/", "/orders", "/a/b/c", "", "*", "//"):
        assert asked(path, rules) == ({"otp"}, None)
    assert rules({"path": "/health"}) is PUBLIC


@pytest.mark.parametrize(("public", "optional", "require"), [
    (["/pay"], [], ["/pay"]), (["/static/"], [], ["/static/admin/"]), (["/pay"], [], ["/pay/"]),
    (["/static/"], ["/static/"], []), (["/static/"], ["/static/me"], []), (["/x/"], [], ["/X/y"]),
    ([], ["/pay"], ["/pay"]), ([], ["/admin/me"], ["/admin/"]), ([], ["/"], ["/"]),
])  # fmt: skip
def test_lists_that_contradict_each_other(
    public: list[str], optional: list[str], require: list[str]
) -> None:
    """Told when the app is put together: nobody would see which one wins."""
    with pytest.raises(ValueError, match="already, or below what is"):
        PathRules(public, optional, dict.fromkeys(require, OTP))


@pytest.mark.parametrize("wrong", [
    None, ["/x"], "/x", {"/x": None}, {"/x": {"otp"}}, {"/x": Requirement}, {"x": OTP}, {"": OTP},
    {7: OTP}, {"/x//": OTP}, {"/%78": OTP}, {"/x": Requirement()}, 7,
])  # fmt: skip
def test_what_requires_nothing(wrong: Any) -> None:
    """No mapping, no path, no requirement, or one that asks for nothing."""
    with pytest.raises(ValueError, match=r"require|not a plain path"):
        PathRules([], [], wrong)


@pytest.mark.parametrize("wrong", [None, "/x", 7, [7], ["x"], ["/x/../y"]])
def test_what_is_no_list_of_optional_paths(wrong: Any) -> None:
    """As with public ones."""
    with pytest.raises(ValueError, match=r"^optional is a list|not a plain path"):
        PathRules([], wrong, {})


def test_requirements_are_shown() -> None:
    """As they were written, for whoever debugs."""
    assert repr(Requirement(methods=["otp"], max_age=60)) == (
        "Requirement(methods={'otp'}, max_age=datetime.timedelta(seconds=60))"
    )
    assert repr(Requirement()) == "Requirement(methods={}, max_age=None)"
