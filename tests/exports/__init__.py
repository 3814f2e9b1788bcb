"""Tests of exports and imports, and the clients that they share."""
