"""The resumable log, keyed by client token: `writer` for the one sender, `reader` for everybody else."""
