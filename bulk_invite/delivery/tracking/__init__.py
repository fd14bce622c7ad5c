"""State of a run: row progress, commits, counts, observers, the stop switch."""
