"""When a job will start: a copy of the lane run forward in virtual time, with what the past has taught."""
