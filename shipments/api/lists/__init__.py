"""What every list of the API shares: its query parameters and its response."""
