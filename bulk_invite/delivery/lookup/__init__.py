"""Look-ups: find rows of unknown outcome in the lists of the service."""
