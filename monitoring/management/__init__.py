"""The management commands of monitoring."""
