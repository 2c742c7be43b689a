"""The dashboard: pages for people, in a process of its own beside the server.

It is a client of `/sojourn/v1` with the key of whoever has signed in, and can show nothing that the API would
not. The server starts it and goes on without it. Needs the extra `dashboard`; nothing else imports it.
"""
