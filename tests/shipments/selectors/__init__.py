"""Tests of shipments.selectors."""
