"""Monitoring of a run: status, health, metrics, traces, webhook and HTTP server."""
