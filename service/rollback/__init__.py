"""A Redis that has gone back in time is noticed, not served from, and mended.

The user store keeps the number of the last entry of each bucket's feed (the fence), and all that
the feed has said for as long as it can matter (the journal). One process, which holds a lease,
writes both within a second (`journal`). Each process compares what Redis has with the fence and
with what it has answered for itself, at each new connection and every two seconds (`watch`). A
lower number means that Redis has gone back: the bucket is not served until the journal was done
again (`replay`). What only one process knows yet the others hear from it through Redis, before any
serves from a server that has started anew (`peers`; who runs: `presence`). That a server has gone
back without losing an entry shows by when it was last compared (`marks`).
"""
