"""Typed access to the server's HTTP API."""
