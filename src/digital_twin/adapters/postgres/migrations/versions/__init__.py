"""One revision a file, its SQL beside it."""
