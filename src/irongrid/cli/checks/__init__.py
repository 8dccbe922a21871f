"""What `irongrid doctor` looks at."""
