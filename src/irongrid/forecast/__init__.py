"""What will probably be, learned from what has been: values from history."""
