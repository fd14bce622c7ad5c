"""`doctor`: everything that a run needs, looked at before it starts; nothing is changed, nobody invited."""
