"""The one way from a trigger to a container of a deployed function."""
