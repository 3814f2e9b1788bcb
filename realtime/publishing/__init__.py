"""Hints out: from a committed event to the Redis channel layer, which carries them to every process."""
