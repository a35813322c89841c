"""Operators' HTTP: what `openshow-auth` does on the command line, for other software.

An app of its own on a socket of its own (`SERVICE_ADMIN_BIND`), with the use cases of the commands.
"""
