"""What stops a run before it has begun, or makes it worth nothing."""


class UnusableError(Exception):
    """There is nothing to report; the message says why, and what to do about it."""
