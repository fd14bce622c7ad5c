"""Rows whose outcome is unknown are looked up in the lists of the service."""
