"""What both dialects need of HTTP: who asks, bodies, values, replies, bounds, the log."""
