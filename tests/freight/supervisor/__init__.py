"""Tests of the supervisor of `up`."""
