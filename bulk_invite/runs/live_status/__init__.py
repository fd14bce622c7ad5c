"""The status of a running run, and its remote control."""
