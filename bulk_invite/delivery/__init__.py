"""Rows on their way: read, admitted, sent, looked up, committed."""
