"""Errors, files, caches, processes and tasks, which all other packages use."""
