"""HTTP: the dialect of the Qiskit client (ibm), our own API (v1), the server around both; no policy."""
