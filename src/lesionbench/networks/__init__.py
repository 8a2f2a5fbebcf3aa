"""Networks: built by name, saved to a file, loaded, and used to predict."""
