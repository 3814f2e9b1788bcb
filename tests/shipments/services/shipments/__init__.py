"""Tests of commands, observations, automatic flags, retries and locks."""
