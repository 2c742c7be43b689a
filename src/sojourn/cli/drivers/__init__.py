"""What `sojourn drivers …` does: runs checks in worker processes, builds environments for drivers."""
