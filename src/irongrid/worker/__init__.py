"""One process per node of an attempt: it starts, watches and stops the ranks, and reports."""
