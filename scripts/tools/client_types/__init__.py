"""Makes the types of the client for browsers from the OpenAPI document."""
