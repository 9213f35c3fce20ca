"""Schedules: time itself as a trigger."""
