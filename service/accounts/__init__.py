"""Accounts: e-mail addresses, passwords, and the user store."""
