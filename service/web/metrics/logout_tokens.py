"""What becomes of logout tokens on their way to relying parties, in metrics."""

from prometheus_client import Counter, Histogram

_TOKENS = Counter(
    "openshow_logout_tokens",
    "Logout tokens posted to relying parties: accepted, refused for good, or failed this time.",
    ("client", "outcome"),
)
_LAG = Histogram(
    "openshow_logout_token_lag_seconds",
    "From the end of a session to its relying party's answer that it has heard of it.",
    ("client",),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


class LogoutTokenMetrics:
    """Counts by client, of which there are few."""

    def accepted(self, client: str, lag: float) -> None:
        """Count a token that has arrived, so many seconds after the end of its session."""
        _TOKENS.labels(client, "accepted").inc()
        _LAG.labels(client).observe(lag)

    def refused(self, client: str) -> None:
        """Count a token that the party has refused."""
        _TOKENS.labels(client, "refused").inc()

    def failed(self, client: str) -> None:
        """Count a token that could not be posted, or was answered with an error."""
        _TOKENS.labels(client, "failed").inc()
