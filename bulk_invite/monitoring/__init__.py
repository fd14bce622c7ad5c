"""What is measured of a run, for those who collect figures and traces."""
