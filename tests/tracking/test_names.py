"""Names and values that MLflow would refuse or cut."""

from pathlib import Path

import pytest
from mini_pipeline import dump_yaml, read_yaml
from mlflow.utils.validation import _validate_metric_name, _validate_param

from lesionbench import params
from lesionbench.tracking.names import of_data, safe, shortened

ODD = [
    "derm7pt (clinic)",
    "A & B",
    "A + B",
    "A  B",
    "Kohorte 1/2",
    "a:b",
    "#1",
    "100 %",
    "..",
    ".x",
    "(",
    "x" * 300,
    "[a]",
]
PLAIN = ["other_clinic", "ISIC 2018", "Müller-Klinik", "isic2018_test", "v1.2", "皮膚科"]


@pytest.mark.parametrize("name", [*ODD, *PLAIN])
def test_mlflow_takes_the_name_of_any_folder(name: str) -> None:
    _validate_metric_name(f"{safe(name)}_roc_auc")
    assert len(f"{safe(name)}_balanced_accuracy") <= 250
    assert "/" not in safe(name)


def test_plain_names_stay_and_no_two_become_one() -> None:
    assert [safe(name) for name in PLAIN] == PLAIN
    assert len({safe(name) for name in [*ODD, *PLAIN]}) == len(ODD) + len(PLAIN)
    assert safe("derm7pt (clinic)").startswith("derm7pt_clinic-")
    assert safe("A_B") != safe("A & B")


def test_a_cohort_called_test_is_not_the_test_split() -> None:
    assert safe("test", taken=("val", "test")).startswith("test-")


def test_long_values_are_cut_and_stay_apart() -> None:
    one, other = (shortened("x" * 9000 + end) for end in "ab")
    assert len(one) == 6000
    assert one != other
    assert one.endswith(f"... (9001 letters, SHA-256 {one[-17:-1]})")
    assert _validate_param("dataset.external", one).value == one
    assert shortened("['a']") == "['a']"


def test_what_the_data_were_made_with_is_one_flat_list(root: Path, tmp_path: Path) -> None:
    raw = read_yaml(root / "params.yaml")
    raw["dataset"]["mirror"] = "http://user:password@host"
    del raw["split"]
    dump_yaml(raw, tmp_path / "params.yaml")
    found = of_data(params.load("train", path=tmp_path / "params.yaml"))
    assert found["hair.method"] == raw["hair"]["method"]
    assert found["augment.brightness"] == [0.8, 1.2]
    assert "password" not in str(found)
    assert not [name for name in found if name.startswith(("split.", "train."))]
