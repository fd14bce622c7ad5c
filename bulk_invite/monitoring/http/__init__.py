"""The HTTP server of a run: live page, API, metrics, probes and manual."""
