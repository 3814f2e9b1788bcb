"""Use cases of accounts: members, customers, organisations, logins, keys, tickets, and what they announce."""
