"""The built-in drivers, all simulated.

`aer` is ideal, `fake` has the noise of a model, and `mock` only gives results the right shape.
"""
