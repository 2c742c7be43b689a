"""A simulated device under other conditions: signals, qubits that are carried on, noise models of jobs."""
