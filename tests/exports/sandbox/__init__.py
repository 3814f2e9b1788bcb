"""Tests of renderer processes and their scratch directories."""
