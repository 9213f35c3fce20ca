"""What runs before bubblewrap: a static C program, and its twin in Python."""
