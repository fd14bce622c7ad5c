"""Logs, progress, results and the summary of a run."""
