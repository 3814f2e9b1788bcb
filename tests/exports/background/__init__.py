"""Tests of background exports."""
