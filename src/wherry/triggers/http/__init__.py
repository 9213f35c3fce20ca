"""Functions over HTTP: the gateway."""
