"""Tests of the admin site, as its operators use it."""
