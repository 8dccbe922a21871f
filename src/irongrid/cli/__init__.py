"""The command line. `main` lists the verbs; each verb's work is in a module of its own."""
