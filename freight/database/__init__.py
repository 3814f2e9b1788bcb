"""Django's PostgreSQL backend with a deadline for the pool, cheaper connection checks and faster timestamps."""
