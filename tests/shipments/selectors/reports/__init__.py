"""Tests of shipments.selectors.reports."""
