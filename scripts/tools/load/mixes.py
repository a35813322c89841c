"""What people do, by name: how many of a hundred arrivals are which scenario.

Each scenario is one call, but for `enrolment`: enable, verify, disable.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mix:
    """Scenarios with their weights, which add up to 100, and what the service may turn away."""

    name: str
    about: str
    weights: dict[str, float]
    shed: frozenset[str] = frozenset()
    """Calls to which 503 with Retry-After is an answer, counted apart, and no error."""

    def share(self, scenario: str) -> float:
        """Say of one how many arrivals come for this."""
        return self.weights.get(scenario, 0) / sum(self.weights.values())

    def words(self) -> str:
        """Write the weights as a person reads them."""
        return ", ".join(f"{weight:g} % {scenario}" for scenario, weight in self.weights.items())


MIXES = {
    mix.name: mix
    for mix in (
        Mix("browse", "people who are signed in and look around", {"me": 80, "refresh": 20}),
        Mix(
            "mixed",
            "an ordinary day, with more logouts than people bother with; a login for a hundred"
            " refreshes, which is one in 25 hours of use",
            {"me": 72.6, "refresh": 22, "logout": 5, "login": 0.2, "enrolment": 0.2},
        ),
        Mix(
            "logout-storm",
            "everybody leaves, beside those who stay",
            {"logout": 60, "me": 25, "refresh": 15},
        ),
        Mix(
            "login-storm",
            "everybody comes back, more than there are cores for; the rest goes on",
            {"login": 50, "me": 30, "refresh": 15, "logout": 5},
            frozenset({"login"}),
        ),
        Mix(
            "enrolment",
            "second factors turned on with a code, and off with the next one",
            {"enrolment": 40, "me": 40, "refresh": 20},
        ),
    )
}
