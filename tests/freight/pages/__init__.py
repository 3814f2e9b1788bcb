"""Tests of `freight.pages` that need no browser; the others are in tests/browser."""
