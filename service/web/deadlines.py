"""The deadlines by which a connection may keep the service waiting."""

import msgspec


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds that the service waits for a client. Its own work has deadlines elsewhere.

    `first_byte` and `head` are whole times; `body` (trailers included) and `answer` are times
    without progress: without a byte that came, or one that was taken; `whole_body` and
    `whole_answer` are whole times again, so that a byte now and then holds nothing for ever. `idle`
    is the time between an answer and the next request, and `linger` that in which a refused client
    may still send, so that it reads why it was refused.
    """

    first_byte: float = 10
    head: float = 10
    body: float = 30
    whole_body: float = 60  # a kilobyte a second for the largest
    answer: float = 30
    whole_answer: float = 300
    idle: float = 75  # longer than a load balancer's 60 s, so that it closes first
    linger: float = 5


DEADLINES = Deadlines()
