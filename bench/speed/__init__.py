"""Parts of the benchmarks of speed: the stages of an iteration, and what is measured beside it."""
