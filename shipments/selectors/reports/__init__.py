"""Whole tables for reports: COPY from one snapshot, cells as SQL expressions."""
