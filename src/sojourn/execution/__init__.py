"""The server's side of the workers: starts and watches them, and hands them jobs.

Free of Qiskit and NumPy.
"""
