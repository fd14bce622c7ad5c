"""The tables of the checkpoint, and the SQL that reads and writes them."""
