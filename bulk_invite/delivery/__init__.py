"""Delivery of rows: read, admit, send, look up, commit."""
