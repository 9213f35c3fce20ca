"""Several nodes that answer as one: each writes its load down where the others read it."""
