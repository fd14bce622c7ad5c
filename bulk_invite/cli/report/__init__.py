"""`bulk-invite report`: results and audit of a checkpoint as HTML, JSON or text."""
