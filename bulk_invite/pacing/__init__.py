"""How fast to call: `controller` decides (pure), `pacer` waits."""
