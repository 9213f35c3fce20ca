"""Engines around engines: each has the protocol of what it wraps."""
