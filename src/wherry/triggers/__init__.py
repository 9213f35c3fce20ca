"""Sources of invocations: bytes from outside become a call, and its events an answer."""
