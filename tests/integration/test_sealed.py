"""While the test split is sealed, no stage after the training looks at it; plots are of val even when it is open."""

import io
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from mini_pipeline import BACKBONE, ROOT, TASK, copy, dump_yaml, mini_params, run_script

from lesionbench.core import files

BESIDE = ["metrics/rivals", "metrics/subgroups"]
MADE = ["data/predictions", "metrics/evaluate", "metrics/compare", "metrics/plots", *BESIDE]
ALSO = [
    "metrics/explain",
    "metrics/summary.json",
    "reports/failures",
    "reports/gradcam",
    "reports/compare",
    "reports/index.html",
]


def texts(folder: Path, names: list[str]) -> dict[str, bytes]:
    """The content of each file in `names`, or in a folder of them; bytes that are no text, such as images, as well."""
    found = [each for name in names for each in (folder / name, *(folder / name).rglob("*"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found) if path.is_file()}


def test_a_sealed_run_holds_nothing_of_test(ran: Path, tmp_path: Path) -> None:
    """With evaluate.test sealed, no test or external image is named anywhere, and what test images show is not read."""
    for name in ("data", "metrics", "models", "reports"):
        copy(ran / "store" / name, tmp_path / name)
    for name in ("docs/latency.csv", "docs/leak.csv", "docs/leak.svg"):
        copy(ROOT / name, tmp_path / name)
    before = texts(tmp_path, [*MADE, *ALSO])
    for name in [*MADE, *ALSO]:
        path = tmp_path / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    config = mini_params()
    config["evaluate"]["test"] = "sealed"
    dump_yaml(config, tmp_path / "params.yaml")
    for command in (["evaluate", TASK, BACKBONE], ["explain", TASK, BACKBONE], ["compare", TASK], ["report"]):
        run_script(tmp_path, f"{command[0]}.py", *command[1:])

    split = pd.read_csv(tmp_path / "data/split.csv", dtype=str)
    sealed = split["split"].isin(["test", "external"])
    names = [each.encode() for each in split.loc[sealed, "image_id"]]
    made = texts(tmp_path, [*MADE, *ALSO])
    assert made.keys() == before.keys()
    assert any(name in content for content in before.values() for name in names)  # of the open run
    assert not [path for path, content in made.items() for name in names if name in content]
    kept = pd.read_csv(tmp_path / f"data/predictions/{TASK}/{BACKBONE}.csv")
    assert set(kept["split"]) == {"val"}
    evaluated: dict[str, Any] = files.read_json(tmp_path / f"metrics/evaluate/{TASK}/{BACKBONE}.json")
    assert (evaluated["test"], evaluated["external"]) == (None, {})
    assert files.read_json(tmp_path / f"metrics/explain/{TASK}/{BACKBONE}.json")["split"] == "val"
    assert files.read_json(tmp_path / f"metrics/compare/{TASK}.json")["split"] == "val"
    summed: dict[str, Any] = files.read_json(tmp_path / "metrics/summary.json")
    assert all(name.startswith("val_") for name in summed[TASK][BACKBONE])
    plots = [path for path in made if path.startswith("metrics/plots/")]
    assert len(plots) == 5
    for path in plots:  # of val in the open run, too; in another batch, a probability's last digit may be another
        sealed_run, open_run = (pd.read_csv(io.BytesIO(each[path])) for each in (made, before))
        pd.testing.assert_frame_equal(sealed_run, open_run, check_exact=False, rtol=0, atol=2e-5)

    changed = split.assign(dx=split["dx"].where(~sealed, split["dx"].map({"mel": "nv"}).fillna("mel")))
    assert changed["dx"].ne(split["dx"]).sum() == sealed.sum()
    changed.to_csv(tmp_path / "data/split.csv", index=False)
    run_script(tmp_path, "evaluate.py", TASK, BACKBONE)
    run_script(tmp_path, "compare.py", TASK)
    assert texts(tmp_path, MADE) == {path: made[path] for path in made if path.startswith(tuple(MADE))}
