"""Tests of `ratelimits`: on the real Redis and PostgreSQL, and over two servers."""
