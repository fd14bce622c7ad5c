"""PostgreSQL as a source: one table or query, read in the order of its key."""
