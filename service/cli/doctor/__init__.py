"""The command `openshow-auth doctor`: what is wrong with an installation, and what to do.

    findings.py        one result of a check
    configuration.py   the settings, as far as they can be judged by themselves
    redis_server.py    Redis: reachable, durable, rights, clock, marks of the feed
    user_store.py      the database: reachable, its version, whether it takes changes
    rollback.py        whether Redis has gone back in time, by what the user store knows
    sinks.py           copies of events: reachable, how far behind, parked, who brings them on
    keys.py            the key service, and the keys that it opens
    command.py         all of them, and how they are told; `options.py` is the command line

Nothing is changed: what must be written to be seen (a key in Redis that ends by itself, a change in
the user store that is taken back) is what readiness writes, too.
"""
