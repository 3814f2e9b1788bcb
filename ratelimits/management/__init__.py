"""The management commands of the rate limits."""
