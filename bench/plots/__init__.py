"""Pictures of what was measured, drawn from recorded samples alone."""
