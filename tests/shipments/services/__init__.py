"""Tests of the services: the write path, transactions, and the use cases in their folders."""
