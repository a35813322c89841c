"""`scripts/load`: load on a running service, over HTTP, whatever it runs on."""
