"""What the proofs share: models of the core's inputs, and checks of what it answers."""
