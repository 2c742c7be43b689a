"""Reservations of devices, and their bounds."""
