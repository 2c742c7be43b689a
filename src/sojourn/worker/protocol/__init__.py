"""All that the server and a worker share: messages, frames, the data in them, and the bounds of memory.

Imports neither Qiskit nor NumPy.
"""
