"""What a scenario is checked by: the event log, service levels, resource usage and health checks."""
