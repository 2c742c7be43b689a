"""Commands that work on this machine: start a server, read its files and its configuration."""
