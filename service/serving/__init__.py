"""HTTP on a bound socket: one process or several, and an end at which no request is lost."""
