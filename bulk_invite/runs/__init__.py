"""A run joined from its parts: send, serve, reconcile, dry run."""
