"""How a circuit is simulated: the rule, what the stabilizer method can have, and the account for the log."""
