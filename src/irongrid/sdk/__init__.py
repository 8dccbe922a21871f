"""Irongrid from Python: what the command line does, as functions that return values."""
