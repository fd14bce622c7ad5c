"""Rehearsals without AWS: an emulator of Partner Central, and simulated runs."""
