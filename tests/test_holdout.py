"""The cost of a clinic that was never seen, on images whose scores are known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.holdout import area, cost
from lesionbench.core.tasks import classes_of


def tables(shift: float, n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test images at home, of two clinics, and those of the second clinic with `shift` less between the classes."""
    rng = np.random.default_rng(3)
    classes, label = classes_of("diagnosis"), rng.choice(["mel", "nv"], n, p=[0.3, 0.7])
    apart = rng.normal(size=n)
    made = []
    for gain in (2.0, 2.0 - shift):
        mel = 1 / (1 + np.exp(-(apart + gain * (label == "mel"))))
        p = {f"p_{name}": np.zeros(n) for name in classes} | {"p_mel": mel, "p_nv": 1 - mel}
        called = np.where(mel > 0.5, classes.index("mel"), classes.index("nv"))
        table = pd.DataFrame({"label": label, "group_id": np.arange(n) // 2, "called": called, **p})
        made.append(table.assign(split="test").set_index(pd.Index([f"I{i}" for i in range(n)], name="image_id")))
    seen, never = made
    # The held-out clinic has the second half, and more images, which the first network may have been trained on.
    more = never.iloc[:50].set_axis([f"M{i}" for i in range(50)]).assign(group_id=np.arange(1000, 1050))
    return seen, pd.concat([never.iloc[n // 2 :], more])


def test_the_cost_is_of_the_images_that_both_have() -> None:
    seen, never = tables(shift=1.5)
    found, images = cost(seen, never)
    assert len(images) == 200
    mel = images["label"].eq("mel")
    areas = [roc_auc_score(mel, table.loc[images.index, "p_mel"]) for table in (seen, never)]
    assert found["base"] == pytest.approx(areas[0])
    assert found["difference"] == pytest.approx(areas[1] - areas[0])
    assert found["low"] < found["difference"] < found["high"] < 0


def test_no_cost_where_both_networks_are_one() -> None:
    seen, never = tables(shift=0)
    assert cost(seen, never)[0]["difference"] == 0


def test_the_area_is_of_all_images_of_the_clinic() -> None:
    _, never = tables(shift=0.5)
    assert area(never).startswith(f"{roc_auc_score(never['label'].eq('mel'), never['p_mel']):.3f} [0.")
