"""The JSON reports below `/api/metrics/` and the schemas of their responses."""
