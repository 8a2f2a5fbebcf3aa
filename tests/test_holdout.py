"""The cost of a clinic that was never seen, on images whose scores are known."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.holdout import area, cost, main
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


def test_the_printed_cost_is_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tests of both splits share 200 images."""
    rng, classes = np.random.default_rng(5), classes_of("diagnosis")
    n, at = 1200, np.arange(1200)
    home = pd.DataFrame({"image_id": [f"I{i}" for i in at], "lesion_id": at, "group_id": at, "cohort": "ham10000"})
    home["dx"] = rng.choice(classes, n)
    home["split"] = np.select([at < 400, at < 800], ["val", "test"], "train")
    clinic = at % 2 == 0
    away = home.assign(split=np.where(clinic, "test", np.where(at < 800, "train", "val")))
    right = np.eye(len(classes))[home["dx"].map(classes.index)]
    for name, split, skill in (("home", home, 2.5), ("lab", away, 0.5)):
        split.to_csv(tmp_path / f"split-{name}.csv", index=False)
        rows = np.flatnonzero(split["split"].ne("train"))
        logits = (skill * right + rng.normal(size=right.shape))[rows]
        (tmp_path / "out/base").mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / f"out/base/{name}-1.npz", rows=rows, logits=logits)
    main(tmp_path, ["lab"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| lab"))
    row = [cell.strip() for cell in line.strip("|").split("|")]
    assert row[:2] == ["lab", "base"]
    melanomas = int((clinic & (at >= 400) & (at < 800) & home["dx"].eq("mel")).sum())
    assert row[2] == f"200, {melanomas}, {melanomas}"
    seen, never = map(float, row[3:5])
    lost, low, high = map(float, re.findall(r"[\d.-]+", row[5]))
    assert seen > 0.9
    assert never < 0.75
    assert lost == pytest.approx(seen - never, abs=0.0015)
    assert 0 < low < lost < high
    assert float(row[6].split()[0]) == pytest.approx(never, abs=0.08)
