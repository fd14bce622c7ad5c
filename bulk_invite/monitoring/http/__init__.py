"""What a run that goes on for long tells over HTTP."""
