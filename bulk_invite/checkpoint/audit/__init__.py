"""Whether the counts of a checkpoint agree with each other."""
