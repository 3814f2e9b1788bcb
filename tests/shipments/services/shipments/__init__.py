"""Tests of commands, automatic flags, retries and locks."""
