"""Mutants that change nothing anybody could notice, each with the reason."""

from tools.mutate.mutants import Mutant

_SAME_LIFE = "gives an index the life that it has"
_ONE_MORE_READ = "reads an entry more than it looks at"
_KEPT_IN_A_CACHE = "a cache of one entry more"
_NO_SUCH_HANDOFF = "a handoff needs a rotation before it: none is noted at generation 0, or below"

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "service/accounts/fair_queue.py",
        "4096 + 1 in @functools.lru_cache(maxsize=4096)",
    ): _KEPT_IN_A_CACHE,
    (
        "service/accounts/emails.py",
        "without raise InvalidField('email', 'The e-mail address is not valid.') fro..., place 2",
    ): "the second of two: the library has refused what the first does not, by the same tables",
    (
        "service/accounts/hashing.py",
        "never job is None",
    ): "the thread pool keeps an error that nobody asks for",
    (
        "service/accounts/hashing.py",
        "True negated in await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)",
    ): "what is left in the line of the thread pool finds nothing to do",
    (
        "service/accounts/passwords.py",
        "0 + 1 in self._scheme = max(self._peppers, default=0)",
    ): "without a pepper nothing is hashed",
    (
        "service/web/addresses.py",
        "1024 + 1 in @functools.lru_cache(maxsize=1024)",
    ): _KEPT_IN_A_CACHE,
    (
        "service/web/addresses.py",
        "1024 + 1 in @functools.lru_cache(maxsize=1024), place 2",
    ): _KEPT_IN_A_CACHE,
    (
        "service/web/chunks.py",
        "0 + 1 in self.trailers = 0",
    ): "set anew before it is read",
    (
        "service/web/parsing.py",
        "False negated in _has_host = False",
    ): "set anew with each message",
    (
        "service/web/parsing.py",
        "False negated in _stand_in = False  # the parser knows the body only, see "
        "`_without_upgrade`",
    ): "makes one more parser, of the same kind",
    (
        "service/web/protocol.py",
        "0 + 1 in _left = 0  # bytes of a body of known length that are to come",
    ): "set anew before it is read",
    (
        "service/web/protocol.py",
        "never self._held",
    ): "nothing is read while something is held",
    (
        "service/web/protocol.py",
        "1 + 1 in self._answered += 1",
    ): "asked for whether there were any",
    (
        "service/web/protocol.py",
        "never self._is_answering() or self.flow.write_paused or self.transport.is...",
    ): "what is taken too early is held again",
    (
        "service/web/protocol.py",
        "self._is_answering() or self.flow.write_paused or self.transport.is... with and",
    ): "what is taken too early is held again",
    (
        "service/web/protocol.py",
        "self._in_body and self._held and (not self.transport.is_closing()) with or",
    ): "takes nothing, or what is held again",
    (
        "service/web/addresses.py",
        "never not forwarded",
    ): "a shorter way to the same",
    (
        "service/keyring/envelope.py",
        "1 + 1 in keyring = cls({1: bytes(DATA_KEY_SIZE)})",
    ): "the data key of that epoch is taken out again at once",
    (
        "service/sessions/end.lua",
        "1 → 2 in local newest = call('XREVRANGE', revoked, before, '-', 'COUNT', 1)[1]",
    ): _ONE_MORE_READ,
    (
        "service/sessions/feed.lua",
        "1 → 2 in local newest = redis.call('XREVRANGE', revoked, now_ms() - feed_life, '-', "
        "'COUNT', 1)[1]",
    ): _ONE_MORE_READ,
    (
        "service/sessions/handoffs.lua",
        "< → <= in local function generation_bits(generation) return generation < 0 and -1 or "
        "1 + generation % 7 end",
    ): _NO_SUCH_HANDOFF,
    (
        "service/sessions/handoffs.lua",
        "0 → 1 in local function generation_bits(generation) return generation < 0 and -1 or "
        "1 + generation % 7 end",
    ): _NO_SUCH_HANDOFF,
    (
        "service/sessions/handoffs.lua",
        "1 → 2 in local function generation_bits(generation) return generation < 0 and -1 or "
        "1 + generation % 7 end",
    ): _NO_SUCH_HANDOFF,
    (
        "service/sessions/handoffs.lua",
        "32 → 33 in local function noted_bits(proof) return math.floor(proof / 32) end",
    ): "who notes a generation (1 to 7) notes a rotation, too: the bits below are 8 at least",
    (
        "service/sessions/handoffs.lua",
        "never one == other",
    ): "compares what is the same part by part",
    (
        "service/sessions/living.lua",
        "never not record",
    ): "answers the `false` that GET has answered instead of nil; callers ask `not`",
    (
        "service/sessions/records.lua",
        "< → <= in and redis.call('PEXPIRETIME', index) < expiry then",
    ): _SAME_LIFE,
    (
        "service/sessions/row_version.lua",
        "< → <= in if redis.call('PTTL', index) < LONGEST_CHANGE then "
        "redis.call('PEXPIRE', index, LONGEST_CHANGE) end",
    ): _SAME_LIFE,
}
"""By path and change, as `scripts/mutate --list` writes them."""


def is_equivalent(mutant: Mutant) -> bool:
    """Whether this mutant is known to have no effect."""
    return (mutant.path, mutant.change) in EQUIVALENT
