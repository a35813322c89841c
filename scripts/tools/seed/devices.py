"""Browsers and apps as services see them, with addresses from the blocks kept for documentation."""

import ipaddress
import secrets
from collections.abc import Iterator
from itertools import cycle
from random import Random

from service.sessions.origin import RequestOrigin

_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{chrome}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{chrome}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {ios}_{minor} like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/{ios}.{minor} Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{ios}.{minor} Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{chrome}.0.0.0 Safari/537.36 Edg/{chrome}.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{firefox}.0) Gecko/20100101 Firefox/{firefox}.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S9{model}B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/{samsung}.0 Chrome/{chrome}.0.0.0 Mobile Safari/537.36",
    "OpenShow/{ios}.{minor}.{model} (Android 14; Pixel 8) okhttp/4.12.0",
)
_SHARES = (34, 24, 16, 8, 6, 5, 4, 3)  # per cent, about as the web's statistics have it

_IPV4 = ipaddress.ip_network("198.18.0.0/15")
_IPV6 = ipaddress.ip_network("2001:db8::/32")
_IPV6_SHARE = 0.4

_MANY = 4096


def devices(seed: int) -> Iterator[RequestOrigin]:
    """Draw many, the same for a seed, and give them out over and over, without an end.

    Drawing one for each session would take as long as the rest of it, and so would drawing all for
    a few sessions.
    """
    random = Random(seed)  # devices are no secret
    drawn = list[RequestOrigin]()
    while len(drawn) < _MANY:
        drawn.append(_device(random))
        yield drawn[-1]
    yield from cycle(drawn)


def _device(random: Random) -> RequestOrigin:
    """Draw one of many with `random`."""
    agent = random.choices(_AGENTS, _SHARES)[0].format(
        chrome=random.randint(126, 138),
        firefox=random.randint(128, 140),
        ios=random.randint(17, 18),
        minor=random.randint(0, 6),
        samsung=random.randint(25, 28),
        model=random.randint(10, 28),
    )
    network = _IPV6 if random.random() < _IPV6_SHARE else _IPV4
    address = network[random.randrange(network.num_addresses)]
    return RequestOrigin(address, agent, secrets.token_urlsafe(12))
