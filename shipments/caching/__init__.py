"""Caches in Redis and in this process: prepared shipments, pages of them, and the versions that keep them true."""
