"""Tests of the running product from outside: real servers on real sockets."""
