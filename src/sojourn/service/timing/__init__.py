"""Time: the clock that the service goes by, its steps, and times as people write them."""
