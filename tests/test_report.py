"""The report: one page that needs nothing else, says loudly what it must, and hides nothing that is undefined."""

import copy
import json
import re
import runpy
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesionbench import metrics, report
from lesionbench.tasks import CLASSES, DIAGNOSES

ROOT = Path(__file__).parents[1]
BACKBONES = ["resnet50", "timm:tiny"]
PHANTOM = "PHANTOM DATA — drawn by the program, not patients. These numbers say nothing about melanoma."
LEAKY = "LEAKY SPLIT — "
VOID = {"meta", "img", "br", "hr", "link", "input"}

LEAK = """scheme,images,metric,n,mean,low,high,min,max,seeds
lesion,all,balanced accuracy,1496,0.65,0.61,0.69,0.64,0.66,3
lesion,alone,balanced accuracy,810,,,,,,3
image,all,balanced accuracy,1502,0.73,0.69,0.77,0.72,0.74,3
image,alone,balanced accuracy,823,0.7,0.6,0.8,0.7,0.7,3
image - lesion,all,balanced accuracy,,0.08,0.03,0.13,,,
image - lesion,alone,balanced accuracy,,,,,,,
image - lesion,sibling - alone,balanced accuracy,,0.1,0.0,0.2,,,
"""


def scores(task: str, shift: float, **changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"n": 20}
    for i, name in enumerate(report.METRICS):
        found[name] = round(0.3 + 0.05 * i + shift, 3)
        found[f"{name}_ci"] = [found[name] - 0.1, found[name] + 0.1]
    row = {"precision": 0.5, "recall": 0.25, "recall_ci": [0.1, 0.6], "f1": 0.3, "roc_auc": 0.7}
    found["per_class"] = {name: {**row, "average_precision": 0.4, "n": 4} for name in CLASSES[task]}
    point = {"threshold": 0.123, "sensitivity": 0.75, "specificity": 0.625, "precision": 0.2}
    return {**found, "operating_points": {"sensitivity_0.9": point}, **changed}


def counts(n: int) -> dict[str, int]:
    return dict.fromkeys(DIAGNOSES, n)


def inputs() -> dict[str, Any]:
    """The contents of every JSON file that the report reads, by path under metrics/."""
    missing = {"dx_type": 0, "age": 1, "sex": 0, "localization": 0, "source": 0}
    cohort = {"images": 70, "lesions": 50, "masks": 70, "images_by_dx": counts(10), "lesions_by_dx": counts(7)}
    confounders = {"source": {"v_dx": 0.372, "v_dx_ci": [0.351, 0.384]}, "sex": {"v_dx": None}}
    cohort |= {"lesions_by_images": {"1": 30, "2": 20}, "missing": missing, "age_zero": 3}
    part = {"images": 20, "lesions": 15, "groups": 14, "images_by_dx": counts(3)}
    made: dict[str, Any] = {
        "index": {"dataset": "phantom", "cohorts": {"phantom": cohort, "elsewhere": cohort}},
        "duplicates": dict.fromkeys(
            (
                *("pairs", "published", "published_found", "identical", "detected", "detected_merged"),
                *("merged", "across_lesion_ids", "across_cohorts", "merged_across_cohorts"),
            ),
            1,
        ),
        "split": {
            "leaky": False,
            "leaking_groups": 0,
            "splits": {name: part for name in ("train", "val", "test", "external", "excluded")},
        },
        "hair": {"images": 140, "with_hair": 90, "mean_coverage": 0.0423},
        "eda": {
            "images": 70,
            "lesions": 50,
            "images_with_a_sibling": 40,
            "mean_age": None,
            "missing_age": 1,
            "confounders": confounders,
        },
    }
    train = {"best_epoch": 2, "epochs": 3, "n_train": 40, "parameters": 23_512_130, "weights": "none"}
    train |= {"monitor": "roc_auc", "val_roc_auc": 0.777, "train_loss": 1.25, "val_loss": None, "train_key": "abc123"}
    explain = {"layer": "layer4", "n": 9, "empty_maps": 0, "energy_in_lesion": 0.3, "energy_in_lesion_ci": [0.2, 0.4]}
    explain |= {"lesion_area": 0.125, "energy_in_lesion_right": 0.35, "energy_in_lesion_wrong": None}
    for task in CLASSES:
        for i, backbone in enumerate(BACKBONES):
            test = scores(task, 0.01 * i)
            external = {"elsewhere": scores(task, -0.1)}
            evaluation = {"val": scores(task, 0), "test": test, "external": external, "leaky": False}
            made[f"evaluate/{task}/{backbone}"] = {**evaluation, "temperature": 1.5, "train_key": "abc123"}
            made[f"train/{task}/{backbone}"] = train
            made[f"explain/{task}/{backbone}"] = explain
        difference = {name: -0.01 for name in ("balanced_accuracy", "roc_auc", "log_loss")}
        intervals = {"balanced_accuracy_ci": [-0.05, 0.03], "roc_auc_ci": [-0.02, -0.005], "log_loss_ci": [-0.1, 0.1]}
        made[f"compare/{task}"] = {
            "differences": {" - ".join(BACKBONES): {**difference, **intervals}},
            "ensemble": scores(task, 0.02),
            "leaky": False,
        }
    return copy.deepcopy(made)


def params_text(**report_section: str) -> str:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    changed = yaml.safe_load(text)
    backbones = "".join(f"  - {name}\n" for name in changed["backbones"])
    assert backbones in text
    text = text.replace(backbones, "".join(f"  - {name}\n" for name in BACKBONES))
    for key, value in report_section.items():
        text = re.sub(rf"(?m)^  {key}: .*$", lambda _, k=key, v=value: f"  {k}: {json.dumps(v)}", text)
    return text


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write inputs and made-up figures to an empty folder, run the stage's script there, return the page."""
    monkeypatch.chdir(tmp_path)
    stage = runpy.run_path(str(ROOT / "pipeline" / "report.py"))

    def run(made: dict[str, Any], text: str | None = None) -> str:
        for name, content in made.items():
            write(tmp_path / "metrics" / f"{name}.json", json.dumps(content, allow_nan=False))
        figures = [
            "duplicates.webp",
            "hair.png",
            "augmentation.png",
            "eda/samples.webp",
            "eda/flagged.webp",
            *(f"eda/{name}.svg" for name in stage["EDA"]),
        ]
        for task in CLASSES:
            figures += [f"compare/{task}/{name}.svg" for name in stage["COMPARE"]]
            figures += [f"gradcam/{task}/{backbone}.webp" for backbone in BACKBONES]
        for name in figures:
            write(tmp_path / "reports" / name, f"<svg>{name}</svg>")
        write(tmp_path / "docs" / "leak.svg", "<svg>leak.svg</svg>")
        write(tmp_path / "docs" / "leak.csv", LEAK)
        write(tmp_path / "params.yaml", params_text() if text is None else text)
        stage["main"]()
        return (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")

    return run


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, its rows of cells, its text; fails on unbalanced tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.stack: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.stack:
            return
        self.text += data
        if {"td", "th"} & set(self.stack):
            self.rows[-1][-1] += data

    def row(self, first: str, *others: str) -> list[str]:
        """The row whose first cell starts with `first` and that holds the cells `others`."""
        found = [row for row in self.rows if row[0].startswith(first) and set(others) <= set(row)]
        assert found, (first, others)
        return found[0]


def test_the_page_loads_nothing_and_links_only_to_dois(render: Callable[..., str]) -> None:
    made = inputs()
    made["index"]["dataset"] = "ham10000"
    made["index"]["cohorts"]["ham10000"] = made["index"]["cohorts"].pop("phantom")
    html = render(made)
    page = Page(html)
    sources = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "srcset", "data")]
    assert len(sources) == 6 + 14 + 2 * (5 + 2)
    assert all(source.startswith("data:image/") for source in sources if source)
    links = [attrs["href"] or "" for _, attrs in page.tags if "href" in attrs]
    assert "https://doi.org/10.1038/sdata.2018.161" in links
    assert all(link.startswith(("#", "https://doi.org/10.")) for link in links)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "url(" not in html
    assert "@import" not in html


def test_every_link_inside_the_page_has_its_target(render: Callable[..., str]) -> None:
    page = Page(render(inputs()))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    targets = [(attrs["href"] or "")[1:] for tag, attrs in page.tags if tag == "a" and (attrs["href"] or "")[0] == "#"]
    assert targets == ids == [*dict.fromkeys(ids)]
    assert len(ids) == 8


def test_every_figure_is_shown_once_and_described(render: Callable[..., str]) -> None:
    images = [attrs for tag, attrs in Page(render(inputs())).tags if tag == "img"]
    assert len({image["src"] for image in images}) == len(images) == 34
    assert all(len(image["alt"] or "") > 20 for image in images)


def test_phantom_data_are_called_so_and_ham10000_is_cited(render: Callable[..., str]) -> None:
    made = inputs()
    page = Page(render(made))
    assert PHANTOM in page.text
    assert "CC BY-NC" not in page.text.replace("\xa0", " ")
    made["index"]["dataset"] = "ham10000"
    made["index"]["cohorts"]["ham10000"] = made["index"]["cohorts"].pop("phantom")
    real = Page(render(made))
    assert "phantom data" not in real.text.lower()
    assert "CC BY-NC" in real.text.replace("\xa0", " ")
    for each in (page, real):
        assert each.text.index("Research use only. Not a medical device.") < each.text.index("1 Summary")


def test_a_leaky_split_is_called_so(render: Callable[..., str]) -> None:
    made = inputs()
    honest = Page(render(made)).text
    assert LEAKY not in honest
    assert "No lesion is seen in training and scored in the test." in honest
    made["split"] |= {"leaky": True, "leaking_groups": 12}
    leaky = Page(render(made)).text
    assert LEAKY in leaky
    assert "more than one split: 12." in leaky
    assert "No lesion is seen in training" not in leaky
    assert json.loads(Path("metrics/summary.json").read_text())["leaky"] is True


def test_text_from_data_and_params_stays_text(render: Callable[..., str]) -> None:
    nasty = "<script>alert('x')</script>\"&"
    made = inputs()
    made["index"]["cohorts"][nasty] = made["index"]["cohorts"].pop("elsewhere")
    for name in made:
        if name.startswith("evaluate/"):
            made[name]["external"] = {nasty: made[name]["external"]["elsewhere"]}
    page = Page(render(made, params_text(title=nasty)))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(nasty) > 5


def test_every_backbone_and_metric_stands_with_its_interval(render: Callable[..., str]) -> None:
    page = Page(render(inputs()))
    assert set(report.METRICS) == set(metrics.METRICS) - {"n"}
    for i, backbone in enumerate([*BACKBONES, "ensemble"]):
        cells = page.row(backbone, f"{0.3 + 0.01 * i:.3f}{0.2 + 0.01 * i:.3f}–{0.4 + 0.01 * i:.3f}")
        values = [round(0.3 + 0.05 * k + 0.01 * i, 3) for k in range(len(report.METRICS))]
        assert cells[1:] == [f"{v:.3f}{v - 0.1:.3f}–{v + 0.1:.3f}" for v in values]
    for metric in report.METRICS.values():
        assert metric.label in page.text
        assert metric.meaning in page.text
    assert page.row("resnet50", "23.5 M")[3:6] == ["40", "3", "2"]
    assert page.row("resnet50", "0.123")[1:] == ["0.9", "0.123", *["0.750", "0.625"] * 3]


def test_the_lead_names_the_best_and_what_the_interval_allows(render: Callable[..., str]) -> None:
    text = " ".join(Page(render(inputs())).text.split())
    assert "Of 2 backbones, timm:tiny has the highest ROC AUC on the test split: 0.360" in text
    assert "Its lead over resnet50 is +0.010 (+0.005 to +0.020): the interval excludes 0." in text
    assert "Its lead over resnet50 is +0.010 (−0.030 to +0.050): the interval includes 0" in text


def test_backbones_that_tie_share_the_lead(render: Callable[..., str]) -> None:
    made = inputs()
    made["evaluate/melanoma/resnet50"]["test"] = made["evaluate/melanoma/timm:tiny"]["test"]
    text = " ".join(Page(render(made)).text.split())
    assert "Melanoma or not. resnet50, timm:tiny share the highest ROC AUC on the test split: 0.360" in text
    assert text.count("Its lead over") == 1


def test_differences_beyond_0_are_starred(render: Callable[..., str]) -> None:
    row = Page(render(inputs())).row("resnet50 − timm:tiny")
    assert row[1:] == ["−0.010−0.050 to +0.030", "−0.010*−0.020 to −0.005", "−0.010−0.100 to +0.100"]


def test_what_is_undefined_shows_as_a_dash_with_the_reason(render: Callable[..., str]) -> None:
    made = inputs()
    before = Page(render(made))
    test = made["evaluate/melanoma/resnet50"]["test"]
    del test["roc_auc_ci"]
    test["roc_auc"] = None
    test["per_class"]["melanoma"]["precision"] = None
    made["compare/melanoma"]["differences"][" - ".join(BACKBONES)]["roc_auc"] = None
    after = Page(render(made))
    reasons = [attrs["title"] or "" for _, attrs in after.tags if attrs.get("class") == "none"]
    assert all(reason.startswith("not defined: ") for reason in reasons)
    assert after.text.count("–") > before.text.count("–")
    assert [row for row in after.rows if row[:3] == ["resnet50", before.row("resnet50")[1], "–"]]
    assert "not defined: this class was never named" in reasons


@pytest.mark.parametrize(("task", "metric"), report.HEADLINE.items())
def test_a_headline_that_is_undefined_is_said(render: Callable[..., str], task: str, metric: str) -> None:
    made = inputs()
    for name in made:
        if name.startswith(f"evaluate/{task}/"):
            made[name]["test"][metric] = None
    made[f"compare/{task}"]["differences"][" - ".join(BACKBONES)][metric] = None
    assert f"{report.METRICS[metric].label} is not defined on this test split" in Page(render(made)).text


def test_detection_is_told_where_there_are_hair_masks(render: Callable[..., str]) -> None:
    made = inputs()
    assert "There are no true hair masks" in Page(render(made)).text
    made["hair"]["detection"] = {"precision": 0.654, "recall": 0.812, "dice": 0.726}
    text = " ".join(Page(render(made)).text.split())
    assert "precision 0.654, recall 0.812, Dice 0.726" in text


def test_two_renders_give_the_same_bytes(render: Callable[..., str]) -> None:
    first, summary = render(inputs()), Path("metrics/summary.json").read_bytes()
    assert (render(inputs()), Path("metrics/summary.json").read_bytes()) == (first, summary)


def test_the_page_names_no_place_on_this_machine(render: Callable[..., str], tmp_path: Path) -> None:
    html = render(inputs())
    assert str(tmp_path) not in html
    assert str(ROOT) not in html


def test_the_summary_holds_all_metrics_of_test_and_val_and_keeps_null(render: Callable[..., str]) -> None:
    made = inputs()
    made["evaluate/diagnosis/resnet50"]["test"]["ece"] = None
    render(made)
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert list(summary) == ["dataset", "leaky", "melanoma", "diagnosis"]
    assert (summary["dataset"], summary["leaky"]) == ("phantom", False)
    for task in CLASSES:
        assert list(summary[task]) == [*BACKBONES, "ensemble"]
        wanted = {*metrics.METRICS, *(f"val_{name}" for name in metrics.METRICS)}
        assert all(set(summary[task][backbone]) == wanted for backbone in BACKBONES)
        assert set(summary[task]["ensemble"]) == set(metrics.METRICS)
    assert summary["melanoma"]["resnet50"]["val_n"] == made["evaluate/melanoma/resnet50"]["val"]["n"]
    assert summary["diagnosis"]["resnet50"]["ece"] is None
    assert summary["melanoma"]["timm:tiny"]["balanced_accuracy"] == 0.31


def test_every_parameter_is_listed_with_its_comment(render: Callable[..., str]) -> None:
    page = Page(render(inputs()))
    raw = yaml.safe_load(params_text())
    keys = [
        f"{k}.{each}" if isinstance(v, dict) else k
        for k, v in raw.items()
        for each in (v if isinstance(v, dict) else [k])
    ]
    for key in keys:
        assert len(page.row(key)) == 3
    assert page.row("backbones")[1] == "[resnet50, 'timm:tiny']"
    assert page.row("dataset.mirror")[1] == "null"
    assert page.row("augment.rotation")[2] == "degrees, either way"


def test_parameters_need_no_comments() -> None:
    first, second = report.parameters("seed: 1\ntrain:\n  epochs: 3  # at most: # 30\n  path: a#b\n")
    assert first["rows"] == [("seed", "1", "")]
    assert second == {"name": "train", "comment": "", "rows": [("epochs", "3", "at most: # 30"), ("path", "a#b", "")]}


def test_best_is_what_is_shown_as_best() -> None:
    rows = {"a": {"ece": 0.10004, "f1": None}, "b": {"ece": 0.1, "f1": 0.5}, "c": {"ece": 0.2, "f1": 0.6}}
    assert report.best(rows, "ece") == {"a", "b"}
    assert report.best(rows, "f1") == {"c"}
    assert report.best({"a": rows["a"], "b": rows["b"]}, "ece") == set()


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (None, False, "–"),
        (0.98765, False, "0.988"),
        (-0.0001, True, "+0.000"),
        (-0.25, True, "−0.250"),
        (1234.5, False, "1,234.500"),
    ],
)
def test_numbers_read_well(value: float | None, sign: bool, text: str) -> None:
    assert report.number(value, sign=sign) == text


def test_the_cost_of_a_leak_is_shown_whatever_the_data(render: Callable[..., str]) -> None:
    page = Page(render(inputs()))
    assert page.row("balanced accuracy", "all") == [
        *("balanced accuracy", "all", "1,496 / 1,502", "0.6500.610–0.690", "0.7300.690–0.770", "+0.080+0.030 to +0.130")
    ]
    assert page.row("balanced accuracy", "alone")[3:] == ["–", "0.7000.600–0.800", "–"]
    assert "real HAM10000 images, whatever the data of this page are" in page.text
    assert "sibling - alone" not in page.text
