-- Publish that a change of the user row was not made, though it was announced (row_version.py).

version_state() -- that it can be read, before anything is written
publish(0)
