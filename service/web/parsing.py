"""Feeds messages to httptools' parser, and handles its callbacks: head, pieces of the body, end.

What it tells becomes the ASGI scope and uvicorn's cycle, which serves the request. Where the stream
is cut is `Protocol`'s.
"""

import asyncio
import re

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from service.web.connection import Connection
from service.web.cycle import Cycle
from service.web.headers import HEADERS, by_name, is_host
from service.web.limits import LONGEST_QUERY
from service.web.responses import WHOLE

_VERSIONS = ("1.1", "1.0")
_EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}}
_VERSION_BEHIND = re.compile(rb" HTTP/[0-9.]*$")


class ParsingConnection(Connection):
    """A connection with the parser of its messages."""

    _parsing = False  # the parser has begun the next head
    _head_done = False
    _complete = False  # the parser says that the message ends here
    _stand_in = False  # the parser knows the body only, see `_without_upgrade`

    def _parse(self, data: bytes) -> bool:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._without_upgrade()
        except httptools.HttpParserError:
            self._refuse(400)
            return False
        return True

    def _has_long_query(self, data: bytes) -> bool:
        """Tell whether the query, as far as it has come, is too long.

        `data` has the beginning of the head where none of it was parsed.
        """
        line = data.partition(b"\r\n")[0]
        target = self.url if self._parsing else _VERSION_BEHIND.sub(b"", line)
        return len(target.partition(b"?")[2]) > LONGEST_QUERY

    def _without_upgrade(self) -> None:
        """Go on as if no upgrade were offered (RFC 9110, section 7.8): the body is to be read.

        The parser takes all that follows for another protocol. A new one takes its place, which is
        told only how the body is delimited.
        """
        self._stand_in = True
        self._complete = False
        self.parser = httptools.HttpRequestParser(_BodyOnly(self))
        framing = [
            b"%s: %s\r\n" % field
            for field in self.headers
            if field[0] in (b"content-length", b"transfer-encoding")
        ]
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._parsing = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head_done = True
        scope, url, fields = self.scope, self.url, by_name(self.headers)
        scope["state"][HEADERS] = fields
        scope["method"] = self.parser.get_method().decode("ascii")
        version = self.parser.get_http_version()
        scope["http_version"] = version
        host = fields.get(b"host")
        if version not in _VERSIONS or (version == "1.1" and host is None):
            raise ValueError
        # One, and valid (RFC 9112, section 3.2): several, joined, have a comma and a space.
        if host is not None and not is_host(host):
            raise ValueError
        if b"#" in url:
            raise ValueError  # RFC 9112, section 3.2: a target has no fragment
        if url[:1] == b"/":
            path, _, query = url.partition(b"?")
        else:
            parsed = httptools.parse_url(url)
            path, query = parsed.path or b"/", parsed.query or b""
        scope["path"] = path.decode("ascii")  # with escapes as they are: no route has any
        scope["raw_path"] = path
        scope["extensions"] = _EXTENSIONS
        scope["query_string"] = query
        expects = version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue"
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects,
            # A client that was refused instead of told to go on may or may not send its body.
            keep_alive=version == "1.1" and not expects and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        assert cycle is not None  # noqa: S101  a body has a head
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._complete = True


class _BodyOnly:
    """The callbacks of a parser that replaces another in the middle of a message."""

    def __init__(self, connection: ParsingConnection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete
