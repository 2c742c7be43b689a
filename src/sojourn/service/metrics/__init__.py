"""What the server counts and measures of itself, for Prometheus: the names, the counting, the text."""
