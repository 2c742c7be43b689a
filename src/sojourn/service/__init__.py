"""The service around the lanes: it takes requests, commits what comes of them, and then acts."""
