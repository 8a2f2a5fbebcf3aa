"""Deal out anew what is known of the test images: nothing that was chosen may move, though the test scores do."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mini_pipeline import BACKBONE, TASK, copy, dump_yaml, mini_params, run_script

from lesionbench.core import files

HELD_OUT = {"test", "phantom_external"}
KNOWN = ("dx", "label", "age", "sex", "localization", "dx_type", "source", "mask_path", "quality_flags")


def permute(table: pd.DataFrame, held_out: set[str]) -> pd.DataFrame:
    """The same, but that the diagnoses and what else is known are dealt out anew among the images `held_out`."""
    rows = table["image_id"].isin(held_out).to_numpy()
    order = np.random.default_rng(3).permutation(rows.sum())
    table, known = table.copy(), [name for name in KNOWN if name in table]
    table.loc[rows, known] = table.loc[rows, known].to_numpy()[order]
    return table


def values(found: Any, *path: str) -> dict[tuple[str, ...], Any]:
    """Each value of a JSON file by its path."""
    if isinstance(found, dict):
        return {where: value for name, each in found.items() for where, value in values(each, *path, name).items()}
    return {path: found}


def moved(before: Path, after: Path, name: str) -> set[tuple[str, ...]]:
    """The paths of the values of metrics/`name` that differ between two runs."""
    old, new = (values(files.read_json(folder / "metrics" / name)) for folder in (before, after))
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def test_labels_of_test_choose_nothing(ran: Path, tmp_path: Path) -> None:
    """The weights (trained again), the epoch, the calibration, all probabilities and all thresholds stay bit-equal."""
    before = ran / "store"
    for name in ("data", "metrics/split.json"):
        copy(before / name, tmp_path / name)
    dump_yaml(mini_params(), tmp_path / "params.yaml")
    split = files.read_csv(before / "data/split.csv")
    held_out = set(split.loc[split["split"].isin(["test", "external"]), "image_id"])
    for name in ("data/split.csv", "data/index.csv"):
        files.write_csv(tmp_path / name, permute(files.read_csv(before / name), held_out))
    for name in ("train", "evaluate", "explain"):
        run_script(tmp_path, f"{name}.py", TASK, BACKBONE)
    run_script(tmp_path, "compare.py", TASK)

    for name in (f"models/{TASK}/{BACKBONE}.safetensors", f"metrics/train/{TASK}/{BACKBONE}.json"):
        assert (tmp_path / name).read_bytes() == (before / name).read_bytes()
    for plot in (before / "metrics/plots" / TASK).iterdir():  # of val
        assert (tmp_path / "metrics/plots" / TASK / plot.name).read_bytes() == plot.read_bytes()
    own = f"{TASK}/{BACKBONE}.json"
    scores = moved(before, tmp_path, f"evaluate/{own}")
    assert ("test", "balanced_accuracy") in scores  # the labels did move
    assert {path[0] for path in scores} <= {"test", "external", "robustness"}  # not val, temperature, biases, decision
    others = [moved(before, tmp_path, f"{name}/{TASK}.json") for name in ("compare", "rivals", "subgroups")]
    assert all(others)
    chosen = {"threshold", "temperature", "quality_model", "melanoma_slope", "wanted"}
    for path in set().union(scores, *others):
        assert path[-1] not in chosen, path
    assert all(HELD_OUT & set(path) for path in others[0])  # not chosen, limits, conformal.least, deployment.val
    assert not [path for path in others[1] if "val" in path]
    seen = moved(before, tmp_path, f"explain/{own}")
    assert ("neighbours", "same") in seen
    assert ("outside", "threshold") not in seen  # of images unlike those of training
    tables = [files.read_csv(folder / f"data/predictions/{TASK}/{BACKBONE}.csv") for folder in (before, tmp_path)]
    ours, theirs = (table.filter(regex="^(image_id|split|logit_|p_)") for table in tables)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
