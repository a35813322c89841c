"""The load engine of bench and load: connections, closed and open loops, one quantile."""
