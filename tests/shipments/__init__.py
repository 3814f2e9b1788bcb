"""Tests of the shipments app, in its folders."""
