"""The HTML page and the summary."""
