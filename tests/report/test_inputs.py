"""What the report reads."""

import base64
from pathlib import Path

from lesionbench.report import inputs

LEAK = """scheme,images,metric,n,mean,low,high,min,max,seeds
lesion,all,f1,1496,0.65,0.61,0.69,0.64,0.66,3
lesion,alone,f1,810,,,,,,3
image,all,f1,1502,0.73,0.69,0.77,0.72,0.74,3
image,alone,f1,823,0.7,0.6,0.8,0.7,0.7,3
image - lesion,all,f1,,0.08,0.03,0.13,,,
image - lesion,alone,f1,,,,,,,
image - lesion,sibling - alone,f1,,0.1,0.0,0.2,,,
"""


def test_the_leak_is_read_by_metric_and_images(tmp_path: Path) -> None:
    """The table of the leak becomes a row a metric and kind of images; what no split scored is left out."""
    path = tmp_path / "leak.csv"
    path.write_text(LEAK, encoding="utf-8")
    both, alone = inputs.read_leak(path)
    assert (both["metric"], both["images"]) == ("f1", "all")
    assert both["lesion"] == {"n": 1496, "mean": 0.65, "low": 0.61, "high": 0.69}
    assert both["difference"] == {"n": None, "mean": 0.08, "low": 0.03, "high": 0.13}
    assert alone["lesion"] == {"n": 810, "mean": None, "low": None, "high": None}


def test_a_figure_becomes_text(tmp_path: Path) -> None:
    """A figure is kept whole in its data: URI."""
    path = tmp_path / "a.svg"
    path.write_bytes(b"<svg/>")
    kind, _, data = inputs.read_figures(tmp_path, ["a.svg"])["a.svg"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == b"<svg/>"


def test_an_ensemble_counts_where_there_is_one(root: Path, backbones: list[str]) -> None:
    """The scores on test are those of the backbones and of the ensemble."""
    found = inputs.read_tasks(root / "metrics", ["melanoma"], backbones)["melanoma"]
    assert list(found["test"]) == [*backbones, *(["ensemble"] if "ensemble" in found["compare"] else [])]
    assert found["test"][backbones[0]] is found["evaluate"][backbones[0]]["test"]
