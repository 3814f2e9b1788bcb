"""Timing of every query, and the slow ones of all processes without their values."""
