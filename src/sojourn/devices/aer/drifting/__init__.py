"""A simulated device that drifts with the time: what wanders, what of it a calibration resets."""
