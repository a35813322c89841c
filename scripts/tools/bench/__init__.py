"""The benchmark: what a call costs, in multiples of the least that the framework allows."""
