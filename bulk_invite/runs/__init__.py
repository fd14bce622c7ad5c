"""Runs assembled from their parts: send, serve, reconcile, dry run."""
