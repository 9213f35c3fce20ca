"""What every server of HTTP needs, whatever it serves."""
