"""Images: references, registries, the store and how layers become a root file system."""
