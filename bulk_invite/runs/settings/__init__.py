"""Settings: their declaration, and their values from options, environment and file."""
