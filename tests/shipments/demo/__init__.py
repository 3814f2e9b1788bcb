"""Tests of the demo data and the simulator."""
