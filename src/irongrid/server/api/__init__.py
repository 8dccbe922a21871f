"""The HTTP API: routes, the gate before them, and their OpenAPI."""
