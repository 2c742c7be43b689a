"""Who there is: projects, users, their keys, what they may do, and the audit of it."""
