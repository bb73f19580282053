"""The proof that nothing is lost: live gateways and the local exchanges' protocols joined in virtual time, by a network
that fails on purpose. `python -m tests.simulation --seeds 1000` runs it for long."""
