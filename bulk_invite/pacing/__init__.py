"""How fast to call: `controller` decides (pure), `pacer` and its `limiter` wait (aiolimiter)."""
