"""Logins, API keys, customer accounts and the members of an organisation."""
