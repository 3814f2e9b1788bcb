"""Tests of freight.fast_path."""
