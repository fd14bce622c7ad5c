"""Send Partner Central engagement invitations in bulk, each exactly once."""
