"""What a tenant may ask of the engine: pure decisions, without any I/O."""
