"""`bulk-invite doctor`: read-only checks of everything that a run needs."""
