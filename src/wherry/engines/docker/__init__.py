"""An engine on any Docker Engine API: unix, tcp, TLS or ssh."""
