"""Documents as PDF, drawn in processes of their own: confined, watched, and without a way to any other resource."""
