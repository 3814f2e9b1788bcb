"""Tests of the documents of a shipment."""
