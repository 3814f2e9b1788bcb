"""Tests of members, logins and socket tickets."""
