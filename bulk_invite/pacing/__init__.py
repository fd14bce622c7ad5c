"""How fast to call: `governor` decides (pure), `pacer` waits."""
