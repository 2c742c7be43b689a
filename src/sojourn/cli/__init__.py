"""The command line. Talks HTTP to a server like any other client, and starts one; never imports Qiskit."""
