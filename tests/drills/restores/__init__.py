"""The drill of restores: dumps, base backups and promoted replicas, and what every door says after each."""
