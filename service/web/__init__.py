"""All that knows HTTP: routes, bodies, authentication, the error table, logs of requests, pages."""
