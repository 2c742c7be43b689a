"""Workers: the processes that prepare and run jobs, and the server's side of them.

Importing this package loads nothing. `types` and `fleet` are the face towards the service and stay free
of Qiskit and NumPy; `worker`, `zygote` and `machine` live in other processes.
"""
