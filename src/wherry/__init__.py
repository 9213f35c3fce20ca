"""Any container image, called as a function."""
