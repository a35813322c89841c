"""What can be wrong with what a provider, or whoever poses as one, has sent."""


class TokenInvalid(Exception):
    """An ID token or logout token is refused. Says why, and quotes nothing of it."""
