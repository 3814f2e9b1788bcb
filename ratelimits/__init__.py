"""Rate limits: policies, counters in Redis, failed attempts in PostgreSQL, and changes at run time."""
