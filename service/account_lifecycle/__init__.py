"""All that is kept of an account: for its owner, and for operators."""
