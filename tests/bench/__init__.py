"""Benchmarks: Freight beside peers, one JSON line each (`make bench`)."""
