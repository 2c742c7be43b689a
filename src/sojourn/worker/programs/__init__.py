"""What jobs ask for: the sampler, the estimator and the executor, with their options, plans and results."""
