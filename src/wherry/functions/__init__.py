"""Declared functions: what a deployment may say, where it is kept, and its secrets."""
