"""Scripts are declared by name: what Lua and callers call their keys and arguments agree."""

import re
import struct
from typing import Any

import pytest
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import REPOSITORY, RedisServer

from service.redis import lua
from service.redis.client import RedisClient
from service.redis.refusals import CommandRefused
from service.redis.scripts import Arguments, Key, Keys, Number, script
from service.sessions.user_scripts import user_script

KEY, OTHER = b"session:{00}:x", b"session:{00}:y"


@script(
    text="""
-- key and first stay as they are in a comment, and --[[ here ]] too
local made = {key = 'key', first}
local longer = key .. 'first' .. second..LAST
made.second = second
redis.call('SET', key, longer, 'PX', LIFE)
return {made.key, made[1], made.second, redis.call('GET', key), other}
""",
    constants={"LIFE": 60_000, "LAST": "!"},
)
def named(*, first: bytes, key: Key, second: int, other: Key) -> Any:
    """Keys and arguments in any order."""


@script(text="return {#list, list[2], #rest, rest[1]}")
def whole(*, list: Keys, rest: Arguments) -> Any:
    """As many as there are."""


@script(text="local fine = 1\nreturn fine + {}\n-- end")
def broken() -> Any:
    """An error in its second line."""


@script(
    text="""
local function double(number) return number * 2 end
local function never(number) return never(number) + double(number) end
local function nor(number)
  return never(number)
end
return {first, key, second, other, double(third) + nil}
"""
)
def counted(*, first: Number, key: Key, second: Number, other: bytes, third: Number) -> Any:
    """Functions that nothing calls, and an error in its last line."""


@script(text="return {type(first), first == -1, second == 2 ^ 53, key, other}")
def numbered(*, first: Number, key: Key, second: Number, other: bytes) -> Any:
    """Numbers among other arguments."""


@pytest.fixture
async def redis_client(keys: RedisServer) -> Any:
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


async def test_names_stand_for_what_the_caller_gives(redis_client: RedisClient) -> None:
    """In code, and not in strings, comments, fields of tables and their first names."""
    for order in (("first", "key", "second", "other"), ("other", "second", "key", "first")):
        values = {"first": b"1", "key": KEY, "second": 2, "other": OTHER}
        answer = await named(redis_client, **{name: values[name] for name in order})  # type: ignore[arg-type]
        assert answer == [b"key", b"1", b"2", KEY + b"first2!", OTHER]


async def test_all_keys_and_arguments_as_tables(redis_client: RedisClient) -> None:
    """Where a caller decides how many there are."""
    assert await whole(redis_client, list=[KEY, OTHER], rest=[7, 8]) == [2, OTHER, 2, b"7"]


async def test_numbers_are_numbers(redis_client: RedisClient) -> None:
    """Exact as far as Lua's are, wherever they stand; what is none is not sent."""
    answer = await numbered(redis_client, second=2**53, key=KEY, first=-1, other=b"o")
    assert answer == [b"number", 1, 1, KEY, b"o"]
    with pytest.raises(struct.error):
        await numbered(redis_client, second="1", key=KEY, first=-1, other=b"o")  # type: ignore[arg-type]


async def test_functions_that_nothing_calls(redis_client: RedisClient) -> None:
    """Are left out, also those that only such ones call; lines keep their numbers."""
    source = (
        "local function used() return 1 end\nlocal function never() return never() end\n"
        "local function nor()\n  return never() -- used\nend\nreturn used()"
    )
    left = "local function used() return 1 end\n\n\n\n\nreturn used()"
    assert lua.without_unused(source) == left
    with pytest.raises(CommandRefused, match=r"counted:7: attempt to perform arithmetic"):
        await counted(redis_client, first=1, key=KEY, second=2, other=b"", third=3)


async def test_an_error_names_the_line(redis_client: RedisClient) -> None:
    """That of the file, whatever stands before it."""
    with pytest.raises(CommandRefused, match=r"broken:2: attempt to perform arithmetic"):
        await broken(redis_client)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("return redis.call('GET', kye) .. value", "nobody declares kye"),
        ("return redis.call('GET', key)", "value is declared and not used"),
        ("return redis.call('GET', key) -- value 'value'", "value is declared and not used"),
        ("return redis.call('GET', key, 'value') .. redis.value", "value is declared and not used"),
        ("return redis.call('GET', KEYS[1]) .. key .. value", "nobody declares KEYS"),
        ("return redis.call('GET', key) .. ARGV[1] .. value", "nobody declares ARGV"),
        ("local key = key return value", "key is declared twice"),
        ("local other, value = key return value", "value is declared twice"),
        ("local function f(a, value) return a end return f(key)", "value is declared twice"),
        ("for i, key in ipairs(value) do redis.call('GET', key) end", "key is declared twice"),
        ("local redis = key .. value", "redis is declared twice"),
        ("local LIFE = key .. value", "LIFE is declared twice"),
        ("make_room(key .. value)", "nobody declares make_room"),
        ("return print(key .. value)", "nobody declares print"),
    ],
)
def test_what_fails_at_import(text: str, problem: str) -> None:
    """A name that is wrong, not used, or of something else, with the name of the script."""
    declare = script(text=text, constants={"LIFE": 1}, acknowledged=False)

    def get(*, key: Key, value: bytes) -> Any: ...

    with pytest.raises(ValueError, match=f"^get: {problem}$"):
        declare(get)


def test_a_script_of_a_user_fails_too() -> None:
    """One that is declared without a name that its file uses."""
    declare = user_script("sessions/end.lua", feed=True, alone=True)

    def end(*, session_id: bytes, presented: bytes, feed_life: int) -> Any: ...

    with pytest.raises(ValueError, match=r"end\.lua: nobody declares session_hex"):
        declare(end)


def test_numbers_beside_all_arguments() -> None:
    """Where those are packed depends on how many arguments there are, which nobody knows."""

    def get(*, first: Number, values: Arguments) -> Any: ...

    with pytest.raises(ValueError, match="numbers stand beside all arguments"):
        script(text="return {first, values[1]}")(get)


async def test_a_caller_that_leaves_one_out(redis_client: RedisClient) -> None:
    """Nothing is sent, whatever mypy was told."""
    with pytest.raises(KeyError, match="other"):
        await named(redis_client, first=b"", key=KEY, second=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", ["it's", "a\\n", "two\nlines"])
def test_a_constant_that_lua_would_read_otherwise(value: str) -> None:
    """Is none."""
    with pytest.raises(ValueError, match="constant"):
        lua.literal(value)


def test_no_script_goes_by_number() -> None:
    """Whatever stands in a file of Lua, it names."""
    for path in (REPOSITORY / "service").rglob("*.lua"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(KEYS|ARGV)\b", text), path
