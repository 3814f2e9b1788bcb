"""Tests of the repository itself: layout, words, write path, runbook."""
