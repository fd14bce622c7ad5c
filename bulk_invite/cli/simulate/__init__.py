"""`bulk-invite simulate`."""
