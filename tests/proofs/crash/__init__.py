"""Deterministic crash simulation: the real service and store on a virtual clock, with seeded faults.

`python -m tests.proofs.crash --help`; what is simulated and what is not: docs/decisions/0006.
"""
