"""Every supported client, from its package index, against a real server over HTTP."""
