"""The tables of the rate limits."""
