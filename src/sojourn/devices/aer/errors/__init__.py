"""Errors of gates in other forms: as what a stabilizer state can have, and as mixtures with nothing."""
