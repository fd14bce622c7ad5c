"""Values and pure decisions: rows, verdicts, events, and what follows from an answer."""
