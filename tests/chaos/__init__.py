"""The chaos harness: a world with known truth, the real processes, a seeded killer, and a check of the result.

`benchmarks/chaos.py` is its command.
"""
