"""What jobs ask for: the sampler and the estimator, with their options, plans and results."""
