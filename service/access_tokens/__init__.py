"""Reading access tokens: what the service and the guard share."""
