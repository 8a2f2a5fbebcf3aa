"""Hair found in images and filled with skin."""
