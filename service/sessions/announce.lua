-- Announce a change of the user row, before the user store is written (row_version.py).

announce_change()
