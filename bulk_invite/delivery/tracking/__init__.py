"""What the run knows of its rows: commits, counts, observers, the way to stop."""
