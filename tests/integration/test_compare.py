"""The stage compare on drawn predictions of three backbones: of val while the test split is sealed."""

import shutil
from pathlib import Path
from typing import Any

import drawn_results
import pytest
from mini_pipeline import ROOT, dump_yaml, read_yaml, run_script

from lesionbench.core import files
from lesionbench.core.tasks import CLASSES


@pytest.mark.parametrize("opened", [False, True])
def test_compare_is_of_val_until_test_is_opened(tmp_path: Path, opened: bool) -> None:
    """Differences, ensemble, figures and MLflow's scores are of val while the predictions are; plots always are."""
    made = drawn_results.metrics(opened)
    for name in made:
        if name.startswith(("train/", "evaluate/")):
            files.write_json(tmp_path / "metrics" / f"{name}.json", made[name])
    for task in CLASSES:
        for i, backbone in enumerate(drawn_results.BACKBONES):
            table = drawn_results.draw(i, task)
            table = table if opened else drawn_results.sealed(table)
            files.write_csv(tmp_path / f"data/predictions/{task}/{backbone}.csv", table)
    for name, table in zip(("split", "index", "hair"), drawn_results.images(), strict=True):
        files.write_csv(tmp_path / f"data/{name}.csv", table)
    dump_yaml(read_yaml(ROOT / "params.yaml") | {"backbones": [*drawn_results.BACKBONES]}, tmp_path / "params.yaml")
    shutil.copy(ROOT / "metrics/split.json", tmp_path / "metrics")
    run_script(tmp_path, "compare.py", "melanoma")
    found: dict[str, Any] = files.read_json(tmp_path / "metrics/compare/melanoma.json")
    assert found["split"] == ("test" if opened else "val")
    assert len(found["differences"]) == 6  # of three backbones and the ensemble
    for each in (found["ensemble"], *found["from_diagnosis"].values()):
        assert (each["test"] is not None) is opened
        assert list(each["external"]) == (["clinic"] if opened else [])
    refusal = found["refusal"]
    assert list(refusal["parts"]) == (["test", "clinic"] if opened else ["val"])
    assert list(refusal["conformal"]["parts"]) == (["test", "clinic"] if opened else [])
    confusion = files.read_csv(tmp_path / "metrics/plots/melanoma/confusion.csv")
    val = drawn_results.sealed(drawn_results.draw(0, "melanoma"))["label"]
    assert confusion["actual"].tolist() == val.tolist() * 4  # what `dvc plots diff` shows is of val, opened or not
    figures = tmp_path / "reports/compare/melanoma"
    assert sorted(path.stem for path in figures.iterdir()) == [
        *(
            "calibration",
            "confusion",
            "decision_curves",
            "learning",
            "precision_recall",
            "refusal",
            "robustness",
            "roc",
        ),
        *("subgroups", "thresholds"),
    ]
    against: dict[str, Any] = files.read_json(tmp_path / "metrics/rivals/melanoma.json")
    assert list(against["gains"]) == (["test", "clinic"] if opened else ["val"])
    assert files.read_json(tmp_path / "metrics/subgroups/melanoma.json")["all"]["n"] == 500
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'own-melanoma'")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert "val_roc_auc" in logged.data.metrics
    assert any(name.startswith(("test_", "clinic_")) for name in logged.data.metrics) is opened
