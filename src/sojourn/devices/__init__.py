"""The driver interface and the built-in drivers, for workers only; importing this package alone is free."""
