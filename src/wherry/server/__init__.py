"""``wherry serve``: everything that is configured, in one process."""
