"""Tests, drills and benchmarks of the product."""
