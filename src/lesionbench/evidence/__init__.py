"""From logits to calibrated scores with intervals, curves, comparisons and explanations."""
