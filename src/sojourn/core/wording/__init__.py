"""Words what the core says of times and limits."""
