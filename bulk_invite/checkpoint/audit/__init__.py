"""Whether the counts of a checkpoint are consistent."""
