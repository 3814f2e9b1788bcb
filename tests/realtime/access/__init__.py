"""Tests of authentication and revocation."""
