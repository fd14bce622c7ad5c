"""Rows come in from a source, and the checkpoint says which are new."""
