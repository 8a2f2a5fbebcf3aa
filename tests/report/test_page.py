"""The report: one page that needs nothing else, says loudly what it must, and hides nothing that is undefined."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lesionbench.evidence import metrics
from lesionbench.evidence.names import METRICS
from lesionbench.report import page
from lesionbench.report.summary import HEADLINE

PHANTOM = "PHANTOM DATA — drawn by the program, not patients. These numbers say nothing about melanoma."
LEAKY = "LEAKY SPLIT — "
VOID = {"meta", "img", "br", "hr", "link", "input"}

Made = dict[str, Any]
Render = Callable[..., str]


def call_dataset(made: Made, name: str) -> None:
    index = made["index"]
    index["cohorts"] = {name if key == index["dataset"] else key: each for key, each in index["cohorts"].items()}
    index["dataset"] = name


def score(scores: dict[str, Any], shift: float) -> None:
    """Set all metrics, 0.3 + `shift` and each 0.05 above the one before, with intervals of 0.1 either way."""
    for i, name in enumerate(METRICS):
        scores[name] = round(0.3 + 0.05 * i + shift, 3)
        scores[f"{name}_ci"] = [scores[name] - 0.1, scores[name] + 0.1]


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


def test_page_loads_nothing_and_links_to_dois(made: Made, backbones: list[str], render: Render) -> None:
    """The page loads nothing, and leads to no other place than DOIs."""
    call_dataset(made, "ham10000")
    html = render(made)
    shown = Page(html)
    sources = [value for _, attrs in shown.tags for key, value in attrs.items() if key in ("src", "srcset", "data")]
    assert len(sources) == 6 + 14 + 2 * (5 + len(backbones))
    assert all(source.startswith("data:image/") for source in sources if source)
    links = [attrs["href"] or "" for _, attrs in shown.tags if "href" in attrs]
    assert "https://doi.org/10.1038/sdata.2018.161" in links
    assert all(link.startswith(("#", "https://doi.org/10.")) for link in links)
    assert "script" not in {tag for tag, _ in shown.tags}
    assert "url(" not in html
    assert "@import" not in html


def test_links_inside_the_page_have_targets(made: Made, render: Render) -> None:
    """Every link inside the page has its target, one a section."""
    shown = Page(render(made))
    ids = [attrs["id"] for _, attrs in shown.tags if "id" in attrs]
    hrefs = [attrs["href"] or "" for tag, attrs in shown.tags if tag == "a"]
    assert [href[1:] for href in hrefs if href.startswith("#")] == ids == list(page.SECTIONS)
    assert [attrs["aria-labelledby"] for tag, attrs in shown.tags if tag == "section"] == ids


def test_every_figure_is_shown_once_and_described(made: Made, backbones: list[str], render: Render) -> None:
    """Every figure is shown once and described for who can't see it."""
    images = [attrs for tag, attrs in Page(render(made)).tags if tag == "img"]
    assert len({image["src"] for image in images}) == len(images) == 6 + 14 + 2 * (5 + len(backbones))
    assert all(len(image["alt"] or "") > 20 for image in images)


def test_phantom_is_called_so_and_ham10000_is_cited(made: Made, render: Render) -> None:
    """Phantom data are called so, on paper as well, and HAM10000 is cited."""
    call_dataset(made, "phantom")
    html = render(made)
    phantom = Page(html)
    assert PHANTOM in phantom.text
    assert "CC BY-NC" not in phantom.text.replace("\xa0", " ")
    assert '@bottom-center { content: "PHANTOM DATA, not patients. Research use only.' in html
    call_dataset(made, "ham10000")
    real = Page(render(made))
    assert "phantom data" not in real.text.lower()
    assert "CC BY-NC" in real.text.replace("\xa0", " ")
    for each in (phantom, real):
        assert each.text.index("Research use only. Not a medical device.") < each.text.index("1 Summary")


def test_a_leaky_split_is_called_so(made: Made, render: Render) -> None:
    """A leaky split is called so on the page and in the summary."""
    made["split"] |= {"leaky": False, "leaking_groups": 0}
    honest = Page(render(made)).text
    assert LEAKY not in honest
    assert "No lesion is seen in training and scored in the test." in honest
    made["split"] |= {"leaky": True, "leaking_groups": 12}
    leaky = Page(render(made)).text
    assert LEAKY in leaky
    assert "more than one split: 12." in leaky
    assert "No lesion is seen in training" not in leaky
    assert json.loads(Path("metrics/summary.json").read_text())["leaky"] is True


def test_text_from_data_and_params_stays_text(made: Made, text: str, render: Render) -> None:
    """Names from the data and the title from the parameters stay text, whatever they hold."""
    nasty = "<script>alert('x')</script>\"&"
    call_dataset(made, nasty)
    for name in made:
        if name.startswith("evaluate/"):
            made[name]["external"] = {f"other {nasty}": each for each in made[name]["external"].values()}
    shown = Page(render(made, re.sub(r"(?m)^  title: .*$", lambda _: f"  title: {json.dumps(nasty)}", text)))
    assert "script" not in {tag for tag, _ in shown.tags}
    assert shown.text.count(nasty) > 5


def test_every_metric_stands_with_its_interval(made: Made, backbones: list[str], render: Render) -> None:
    """Every metric of every backbone and of the ensemble stands in its column with its interval."""
    tests = {name: made[f"evaluate/melanoma/{name}"]["test"] for name in backbones}
    tests["ensemble"] = made["compare/melanoma"]["ensemble"]
    for i, scores in enumerate(tests.values()):
        score(scores, 0.01 * i)
    shown = Page(render(made))
    for i, name in enumerate(tests):
        cells = shown.row(name, f"{0.3 + 0.01 * i:.3f}{0.2 + 0.01 * i:.3f}–{0.4 + 0.01 * i:.3f}")
        values = [round(0.3 + 0.05 * k + 0.01 * i, 3) for k in range(len(METRICS))]
        assert cells[1:] == [f"{v:.3f}{v - 0.1:.3f}–{v + 0.1:.3f}" for v in values]


def test_every_metric_is_named_and_explained(made: Made, render: Render) -> None:
    """Every metric that is computed has a name, a heading of a column, and a meaning."""
    shown = Page(render(made))
    assert set(METRICS) == set(metrics.METRICS) - {"n"}
    for metric in METRICS.values():
        assert f"{metric.heading}\xa0{'↑' if metric.higher else '↓'}" in shown.row("Backbone", "Accuracy\xa0↑")
        assert metric.heading in shown.text
        assert metric.meaning in shown.text


def test_training_and_operating_points_are_told(made: Made, backbones: list[str], render: Render) -> None:
    """A row says how a backbone was trained, another what its threshold reaches on val, test and outside."""
    name = backbones[0]
    made[f"train/melanoma/{name}"] |= {"parameters": 23_512_130, "n_train": 4012, "epochs": 3, "best_epoch": 2}
    evaluation = made[f"evaluate/melanoma/{name}"]
    parts = [evaluation["val"], evaluation["test"], *evaluation["external"].values()]
    for part in parts:
        part["operating_points"]["sensitivity_0.9"] |= {"threshold": 0.123, "sensitivity": 0.75, "specificity": 0.625}
    shown = Page(render(made))
    assert shown.row(name, "23.5 M")[3:6] == ["4,012", "3", "2"]
    assert shown.row(name, "0.123")[1:] == ["0.9", "0.123", *["0.750", "0.625"] * len(parts)]


def test_the_lead_stands_first(made: Made, backbones: list[str], render: Render) -> None:
    """The summary opens with the best backbone of each task."""
    first, *_, last = backbones
    for name in backbones:
        made[f"evaluate/melanoma/{name}"]["test"]["roc_auc"] = 0.75 if name == last else 0.5
        made[f"evaluate/diagnosis/{name}"]["test"]["balanced_accuracy"] = 0.625
    text = " ".join(Page(render(made)).text.split())
    assert f"backbones, {last} has the highest ROC AUC on the test split: 0.750" in text
    assert f"Which of seven diagnoses. {first}, " in text
    assert f", {last} share the highest balanced accuracy on the test split: 0.625" in text


def test_differences_beyond_0_are_starred(made: Made, backbones: list[str], render: Render) -> None:
    """A difference whose interval excludes 0 bears a star."""
    pair = " - ".join(backbones[:2])
    difference: dict[str, Any] = {}
    for name, interval in {
        "balanced_accuracy": [-0.05, 0.03],
        "roc_auc": [-0.02, -0.005],
        "average_precision": [-0.02, 0.02],
        "recall": [-0.02, 0.02],
        "log_loss": [-0.1, 0.1],
    }.items():
        difference |= {name: -0.01, f"{name}_ci": interval}
    made["compare/melanoma"]["differences"] = {pair: difference}
    for name in backbones:  # all share the lead, which then asks for no difference
        made[f"evaluate/melanoma/{name}"]["test"]["roc_auc"] = 0.5
    row = Page(render(made)).row(pair.replace(" - ", " − "))
    assert row[1:3] == ["−0.010−0.050 to +0.030", "−0.010*−0.020 to −0.005"]
    assert row[-1] == "−0.010−0.100 to +0.100"


def test_what_is_undefined_shows_as_a_dash_and_why(made: Made, backbones: list[str], render: Render) -> None:
    """What is undefined shows as a dash with the reason."""
    before = Page(render(made))
    name, other = backbones[:2]
    test = made[f"evaluate/melanoma/{name}"]["test"]
    test["roc_auc"] = None
    test.pop("roc_auc_ci", None)
    test["per_class"]["melanoma"]["precision"] = None
    made["compare/melanoma"]["differences"][f"{name} - {other}"]["roc_auc"] = None
    after = Page(render(made))
    reasons = [attrs["title"] or "" for _, attrs in after.tags if attrs.get("class") == "none"]
    assert all(reason.startswith("not defined: ") for reason in reasons)
    assert after.text.count("–") > before.text.count("–")
    assert [row for row in after.rows if row[:3] == [name, before.row(name)[1], "–"]]
    assert "not defined: this class was never named" in reasons


@pytest.mark.parametrize(("task", "metric"), HEADLINE.items())
def test_a_headline_that_is_undefined_is_said(
    made: Made, backbones: list[str], render: Render, task: str, metric: str
) -> None:
    """A task whose headline is undefined for all backbones says so."""
    for name in backbones:
        made[f"evaluate/{task}/{name}"]["test"][metric] = None
    assert f"{METRICS[metric].heading} is not defined on this test split" in Page(render(made)).text


def test_detection_is_told_where_masks_are_known(made: Made, render: Render) -> None:
    """How well hair was found is told where the true masks are known, and only there."""
    made["hair"].pop("detection", None)
    assert "There are no true hair masks" in Page(render(made)).text
    made["hair"]["detection"] = {"precision": 0.654, "recall": 0.812, "dice": 0.726}
    text = " ".join(Page(render(made)).text.split())
    assert "precision 0.654, recall 0.812, Dice 0.726" in text


def test_two_renders_give_the_same_bytes(made: Made, render: Render) -> None:
    """The same inputs give the same page and the same summary."""
    first, summary = render(made), Path("metrics/summary.json").read_bytes()
    assert (render(made), Path("metrics/summary.json").read_bytes()) == (first, summary)


def test_the_page_names_no_place_on_this_machine(made: Made, render: Render, root: Path, tmp_path: Path) -> None:
    """No folder of this machine is on the page."""
    html = render(made)
    assert str(tmp_path) not in html
    assert str(root) not in html


def test_every_parameter_is_listed(made: Made, text: str, backbones: list[str], render: Render) -> None:
    """Every parameter stands in the table with its value and its comment."""
    shown = Page(render(made))
    for key, value in YAML(typ="safe").load(text).items():
        for name in [f"{key}.{each}" for each in value] if isinstance(value, dict) else [key]:
            assert len(shown.row(name)) == 3
    assert shown.row("backbones")[1] == f"[{', '.join(backbones)}]"
    assert shown.row("dataset.mirror")[1] == "null"
    assert shown.row("augment.rotation")[2] == "degrees, in either direction"


def test_the_cost_of_a_leak_is_shown_for_all_data(made: Made, render: Render) -> None:
    """The cost of a leak is shown, measured on real images, whatever the data of the page are."""
    shown = Page(render(made))
    assert shown.row("balanced accuracy", "all") == [
        *("balanced accuracy", "all", "1,496 / 1,502", "0.6510.616–0.689", "0.7000.672–0.728", "+0.049+0.005 to +0.091")
    ]
    assert "real HAM10000 images, whatever the data of this page are" in shown.text
    assert "sibling - alone" not in shown.text


def test_a_leak_that_is_undefined_shows_as_a_dash(made: Made, leak: str, render: Render) -> None:
    """Where a class is missing, the cost of a leak is a dash."""
    once = "lesion photographed once"
    for scheme, n in (("lesion", "810"), ("image - lesion", "")):
        leak = re.sub(rf"(?m)^({scheme},{once},balanced accuracy),.*$", rf"\1,{n},,,,,,", leak)
    row = Page(render(made, leak=leak)).row("balanced accuracy", once)
    assert row[2:] == ["810 / 796", "–", "0.6720.610–0.734", "–"]


def test_versions_are_of_installed_packages() -> None:
    """The packages that shape the results are listed with their versions."""
    found = page.versions()
    assert list(found) == ["Python", *page.PACKAGES]
    assert re.fullmatch(r"3\.\d+", found["Python"] or "")
    assert all(version is None or version[0].isdigit() for version in found.values())
