"""Who holds a socket, what is theirs, and how much they may have."""
