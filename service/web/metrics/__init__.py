"""Metrics for Prometheus. With several worker processes, the files of all are added up.

    requests.py     each request by route, and how long it took
    outcomes.py     what the requests came to: logins, refreshes, second factors, sessions
    gauges.py       what is looked at now and then: queues, keys, clocks, parts
    guards.py       what guards have said of themselves
    exposition.py   all of it as text

Counters are in the process: nothing here waits, or asks a store. What clients choose makes no
series: labels are our routes, error codes and names.
"""
