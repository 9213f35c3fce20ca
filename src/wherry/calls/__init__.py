"""Records of calls, and the durable queue of those that nobody waits for."""
