"""One row, one call: permit, intent, call, answer."""
