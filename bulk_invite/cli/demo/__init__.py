"""`bulk-invite demo`."""
