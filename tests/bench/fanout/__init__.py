"""The servers, the load generator and the scenarios of the fan-out bench."""
