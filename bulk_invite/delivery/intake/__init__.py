"""Intake: read rows from the sources and let the checkpoint decide which to send."""
