"""Splits by lesion, and an audit that shares no code with them."""
