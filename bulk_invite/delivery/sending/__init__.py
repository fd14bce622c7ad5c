"""Sending: permit, intent, call and answer of one row."""
