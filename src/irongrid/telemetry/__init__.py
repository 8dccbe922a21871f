"""Readers of the machine: devices, the process table, cgroups, and the output of ranks."""
