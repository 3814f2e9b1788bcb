"""Tests of shipments.parsing."""
