"""What the tests run things in: a lane, a service, a live server."""
