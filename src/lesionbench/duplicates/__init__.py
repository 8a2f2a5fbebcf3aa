"""Pairs of images that show one lesion under two ids."""
