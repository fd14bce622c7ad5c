"""Options of the commands, made from the settings."""
