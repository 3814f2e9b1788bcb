"""Who sees what: every stored text has an audience, and every door is walked as each audience."""
