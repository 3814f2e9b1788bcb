"""Tests of `freight.server`, on a server process of their own."""
