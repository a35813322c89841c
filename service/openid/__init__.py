"""Speaking with OpenID providers: metadata, keys, ID tokens, logout tokens. A leaf: no store."""
