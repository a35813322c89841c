"""Audit events: what they are, how they are read, and how their streams are kept within bounds."""
