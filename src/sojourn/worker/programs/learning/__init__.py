"""The program `noise-learner`: learns the noise of layers of gates, and of readout, by running circuits."""
