"""Health endpoints and their background checks."""
