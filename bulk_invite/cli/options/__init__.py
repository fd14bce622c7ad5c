"""Options and help of the commands, generated from the settings."""
