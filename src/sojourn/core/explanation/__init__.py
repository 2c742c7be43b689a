"""Says why a job waits, from the queue that will start it."""
