"""Tests of hints through the channel layer, on a real Valkey."""
