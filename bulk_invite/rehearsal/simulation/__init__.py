"""Servers whose quota nobody publishes, and what senders make of them: in virtual time, or over HTTP."""
