"""Enumerate, prune and rank parallel plans; scaling curves; exports."""
