"""W3C Trace Context, and spans by OpenTelemetry where a collector is configured."""
