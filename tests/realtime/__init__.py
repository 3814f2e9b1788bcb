"""Tests of the realtime app, in its folders."""
