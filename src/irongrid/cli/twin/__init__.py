"""What `irongrid twin` shows: imports, runs, comparisons, and their pages."""
