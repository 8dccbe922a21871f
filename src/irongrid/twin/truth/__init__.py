"""What really happens in the virtual world: speeds, durations, futures.

A wall stands around this package: the brain gets from it only what a worker would have reported.
`tests/test_architecture.py` keeps `control`, `scheduler` and `forecast` from importing it.
"""
