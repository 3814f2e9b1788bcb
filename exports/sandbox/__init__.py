"""Confined renderer processes for heavy drawing and untrusted files, and the pool that runs them.

A renderer has no network, no settings and no secrets, bounded memory and CPU time, and a deadline for every task.
"""
