"""What is done for each operation that the policy lets through."""
