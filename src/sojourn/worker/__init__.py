"""The child's side: the programs that prepare and run jobs, in processes of their own.

Needs msgspec, NumPy, Qiskit and Aer and nothing that the server needs, so another interpreter can run it. The
server imports `protocol` of it and nothing else. Importing this package alone loads nothing.
"""
