"""Proving who you are: signing up, logging in, and the limits on attempts."""
