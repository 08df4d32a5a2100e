"""Seeing what goes on: logs and events."""
