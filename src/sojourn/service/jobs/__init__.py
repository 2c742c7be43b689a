"""Jobs, from the submit to the result."""
