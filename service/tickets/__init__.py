"""Tickets: what somebody gets to do one thing, once, within a time, without being signed in."""
