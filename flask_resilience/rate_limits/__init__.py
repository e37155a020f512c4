"""Limits on requests coming in."""
