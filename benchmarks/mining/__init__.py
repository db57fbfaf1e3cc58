"""Benchmarks of the miner: drift that is found, power of its tests."""
