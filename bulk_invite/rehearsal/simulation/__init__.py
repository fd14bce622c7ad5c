"""Simulated servers with unpublished quotas, and senders that call them: in virtual time or over HTTP."""
