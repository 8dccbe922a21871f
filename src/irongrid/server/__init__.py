"""The composition root: one state thread behind an HTTP API. Start it with `main.serve`."""
