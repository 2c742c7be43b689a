"""HTTP: the dialect of the Qiskit client (ibm), our own API (own), the server around both; no policy."""
