"""Who gets what, where and why: one policy per file, values in and actions out."""
