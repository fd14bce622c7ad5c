"""What a checkpoint proves, as a page, as JSON and as text."""
