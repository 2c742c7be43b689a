"""Carries out the suppression and mitigation that a sampler or an estimator job asks for.

The pubs become a quantum program, which runs as one of the executor does. `asked` says what the options come
to, `client` has what the client's packages do (preparation and evaluation), `narrow` leaves out idle qubits,
`build` makes the program, `stage` runs it, `sampler` and `estimator` read pubs and write results.
"""
