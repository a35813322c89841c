"""Spans of OpenTelemetry: of requests, use cases, scripts, statements and calls to others.

Off by default, and then nothing of it is in the way of a request: what wraps others is put in their
place only where `SERVICE_TRACING=on`, and the libraries (the extra `otel`) are imported only then.
Instrumentations that can be had see none of this: the client of Redis packs its commands itself.
"""
