"""The alerts drill: the fault of each alert is injected, and the alert must fire and clear."""
