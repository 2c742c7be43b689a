"""Sojourn: a self-hosted quantum compute service with sessions, behind the qiskit-ibm-runtime protocol.

Importing this package is cheap: nothing of Qiskit, of the web server or of the database is imported
before it is used.
"""

__version__ = "0.1.0"
