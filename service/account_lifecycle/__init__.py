"""The end of an account, and all that is kept of one: for its owner, and for operators."""
