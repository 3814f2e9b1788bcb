"""Tests of `freight.settings`."""
