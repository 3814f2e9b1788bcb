"""Tests of the sequencer and the audit chain."""
