"""The chaos harness: a world with known truth, the real processes, a seeded killer, and a verdict. `benchmarks/chaos.py` is its command."""
