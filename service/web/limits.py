"""The limits on the size of a request, before anything of it is looked at."""

LONGEST_HEAD = 65_536
"""Bytes of request line, headers and trailers together."""

MOST_FIELDS = 100
"""Headers and trailers of a request at most, together."""

LONGEST_QUERY = 1024
"""Bytes."""

LONGEST_CALLBACK_QUERY = 8192
"""Bytes of the query with which an OpenID provider sends somebody back."""

LONGEST_PATH = 256
"""Bytes; no route is longer, and Litestar keeps recent paths in memory."""

FIELDS_PARSED = 1024
"""Fields of a head after which it is not parsed on: 64 KiB have room for 16,384, which would keep
everybody waiting for ten milliseconds."""

BODY_LIMIT = 65_536
"""Bytes."""
