"""Logits: in the order of the rows, whatever the batch size, and of the network in the file."""

import numpy as np
import pytest

from lesionbench.networks import backbones, predict

pytestmark = pytest.mark.usefixtures("one_thread")


def test_predictions_keep_the_order_at_any_batch_size(made: backbones.Backbone, pixels: np.ndarray) -> None:
    """Predictions do not depend on the batch size and keep the order."""
    rows = np.arange(20)[::-1]
    straight = predict.predict(made, pixels, rows, 20, "cpu")
    assert np.ptp(straight, axis=0).min() > 0.01
    for batch_size in (1, 3, 64):
        assert np.abs(predict.predict(made, pixels, rows, batch_size, "cpu") - straight).max() < 1e-4
    assert np.abs(predict.predict(made, pixels, rows[::-1], 7, "cpu") - straight[::-1]).max() < 1e-4
