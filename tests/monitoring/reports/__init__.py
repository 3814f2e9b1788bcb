"""The JSON reports over several processes."""
