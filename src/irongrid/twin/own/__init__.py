"""A person's own trace: what their file says, what it lacks, and the workload that it makes."""
