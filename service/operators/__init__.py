"""What operators do with accounts and sessions: the use cases behind the command line."""
