"""One module a version, each the successor of the one before. None is changed once released."""
