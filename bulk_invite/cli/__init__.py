"""The commands, one module each: they see Settings, join the parts and print the result."""
