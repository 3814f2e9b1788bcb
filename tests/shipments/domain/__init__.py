"""Tests of shipments.domain."""
