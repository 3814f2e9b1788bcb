"""Tests of `freight`."""
