"""The commands of a server: a module for each noun."""
