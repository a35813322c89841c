"""Sinks: where audit events are copied to, at least once and in order, by leases over all pods."""
