"""The virtual world: recorded workloads on virtual time, under the very brain that runs live."""
