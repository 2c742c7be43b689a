"""The lanes of the devices, what they have committed, and who may see it."""
