"""The table of images: metadata, files and quality, checked."""
