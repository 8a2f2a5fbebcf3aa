"""DVC's experiments as tables: what each one changed and scored, and how far the numbers of replicates lie apart."""
