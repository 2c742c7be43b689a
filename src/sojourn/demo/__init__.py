"""The demo: two ordinary Qiskit programs, and a conductor that shows what the server did with them.

`vqe` and `flood` are client programs: they import Qiskit, nothing of Sojourn, and nobody imports them; they
are run as processes of their own. Everything else in here does without Qiskit, because `sojourn` does.
"""
