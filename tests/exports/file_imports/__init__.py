"""Tests of imports of shipments."""
