"""Tests of positions: one at a time, in batches, and concurrently."""
