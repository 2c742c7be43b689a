"""What requests in work take of the server, and what became of their replies."""
