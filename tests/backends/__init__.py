"""Packages of vendors as devices, without a network: each in an environment of its own."""
