"""One script a peer, each run by the interpreter of that peer's own environment (see `benchmarks.environments`)."""
