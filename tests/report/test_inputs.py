"""What the report reads."""

import base64
from pathlib import Path

import drawn_results
import numpy as np
import pytest

from lesionbench import images
from lesionbench.core import files
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


@pytest.mark.parametrize("opened", [True, False])
def test_scores_are_of_the_split_that_is_shown(tmp_path: Path, opened: bool) -> None:
    """The scores shown are those of test, or of val while it is sealed; melanoma is read from seven diagnoses too."""
    for name, found in drawn_results.metrics(opened).items():
        files.write_json(tmp_path / f"{name}.json", found)
    backbones = list(drawn_results.BACKBONES)
    tasks = inputs.read_tasks(tmp_path, ["melanoma", "diagnosis"], backbones)
    members = [*backbones, "ensemble"]
    assert list(tasks["diagnosis"]["scores"]) == list(tasks["diagnosis"]["members"]) == members
    found = tasks["melanoma"]
    assert list(found["scores"]) == [*members, *(f"{name}, from seven diagnoses" for name in backbones)]
    for name in members:
        assert found["scores"][name] is found["members"][name]["test" if opened else "val"]
    assert found["val"]["ensemble"] is found["compare"]["ensemble"]["val"]


def test_one_backbone_has_no_ensemble(tmp_path: Path) -> None:
    """Where there is one backbone there is no ensemble, and melanoma is not read from a task that was not trained."""
    made = drawn_results.metrics()
    for key in ("ensemble", "from_diagnosis"):
        made["compare/melanoma"].pop(key)
    for name, found in made.items():
        files.write_json(tmp_path / f"{name}.json", found)
    found = inputs.read_tasks(tmp_path, ["melanoma"], ["resnet50"])["melanoma"]
    assert list(found["scores"]) == list(found["members"]) == ["resnet50"]


def test_pictures_are_shown_as_jpeg_and_others_as_they_are(tmp_path: Path) -> None:
    """A picture stays, within what JPEG loses; of an SVG, and of the sheet that is not printed, every byte does."""
    image = np.linspace([0, 50, 100], [200, 150, 250], 64).astype(np.uint8)[None].repeat(32, axis=0)
    for name in ("a.png", "a.webp", "duplicates.webp"):
        (tmp_path / name).write_bytes(images.encode(Path(name).suffix, image))
    (tmp_path / "a.svg").write_bytes(b"<svg/>")
    for name in ("a.png", "a.webp"):
        kind, data = inputs.data_uri(tmp_path / name).split(",")
        (tmp_path / "a.jpg").write_bytes(base64.b64decode(data))
        assert kind == "data:image/jpeg;base64"
        assert np.abs(images.read_rgb(tmp_path / "a.jpg").astype(int) - image).mean() < 4
    assert inputs.data_uri(tmp_path / "a.svg") == "data:image/svg+xml;base64,PHN2Zy8+"
    kind, data = inputs.data_uri(tmp_path / "duplicates.webp").split(",")
    assert kind == "data:image/webp;base64"
    assert base64.b64decode(data) == (tmp_path / "duplicates.webp").read_bytes()
