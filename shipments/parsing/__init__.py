"""Texts of requests and files as values: numbers and times, query parameters, strict JSON."""
