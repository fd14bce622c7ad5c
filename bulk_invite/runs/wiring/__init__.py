"""Parts of a run, each made from the settings."""
