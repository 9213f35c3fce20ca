"""The local engine: bubblewrap on this machine, no daemon, no root."""
