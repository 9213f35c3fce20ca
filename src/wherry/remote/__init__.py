"""Containers at a distance: a small HTTP API that runs them on a Docker engine."""
