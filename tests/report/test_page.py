"""The report: one page that needs nothing else, says loudly what it must, and hides nothing that is undefined."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lesionbench import results
from lesionbench.evidence.names import HEADLINE, METRICS, RIVALS, SKILLS
from lesionbench.report import formats, page

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
        if name != "ece":
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
        if {"style", "script"} & set(self.stack):
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
    """The page loads nothing, and leads to no other place than its tables' files and DOIs."""
    call_dataset(made, "ham10000")
    html = render(made)
    shown = Page(html)
    sources = [value for _, attrs in shown.tags for key, value in attrs.items() if key in ("src", "srcset", "data")]
    assert len(sources) == 6 + 14 + 2 * (10 + len(backbones))
    assert all(source.startswith("data:image/") for source in sources if source)
    links = [attrs["href"] or "" for _, attrs in shown.tags if "href" in attrs]
    assert "https://doi.org/10.1038/sdata.2018.161" in links
    assert all(link.startswith(("#", "tables/", "https://doi.org/10.")) for link in links)
    scripts = [attrs for tag, attrs in shown.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "slider-data"}, {}]
    assert "url(" not in html
    assert "@import" not in html


def test_links_inside_the_page_have_targets(made: Made, render: Render) -> None:
    """Every link inside the page has its target, one a section."""
    shown = Page(render(made))
    ids = [attrs["id"] for _, attrs in shown.tags if "id" in attrs]
    hrefs = [attrs["href"] or "" for tag, attrs in shown.tags if tag == "a"]
    sections = list(page.SECTIONS)
    inside = [href[1:] for href in hrefs if href.startswith("#")]
    assert inside[: len(sections)] == sections
    assert set(inside) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert [attrs["aria-labelledby"] for tag, attrs in shown.tags if tag == "section"] == sections
    labels = [attrs["for"] for tag, attrs in shown.tags if tag in ("label", "output") and "for" in attrs]
    assert {*sections, *labels} <= set(ids)
    assert len(ids) == len(set(ids))


def test_every_figure_is_shown_once_and_described(made: Made, backbones: list[str], render: Render) -> None:
    """Every figure is shown once and described for who can't see it."""
    images = [attrs for tag, attrs in Page(render(made)).tags if tag == "img"]
    assert len({image["src"] for image in images}) == len(images) == 6 + 14 + 2 * (10 + len(backbones))
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
    assert "this search found 14 that show a lesion of HAM10000" in real.text
    assert "official test set" not in phantom.text
    assert "CC BY-NC" in real.text.replace("\xa0", " ")
    for each in (phantom, real):
        assert each.text.index("Research use only. Not a medical device.") < each.text.index("1 Recommendation")


def test_a_leaky_split_is_called_so(made: Made, render: Render) -> None:
    """A leaky split is called so on the page and in the summary."""
    made["split"] |= {"leaky": False, "leaking_groups": 0}
    honest = Page(render(made)).text
    assert LEAKY not in honest
    assert "No lesion that is known to be one is seen in training and scored in the test." in honest
    made["split"] |= {"leaky": True, "leaking_groups": 12}
    leaky = Page(render(made)).text
    assert LEAKY in leaky
    assert "more than one split: 12." in leaky
    assert "is seen in training and scored" not in leaky
    assert json.loads(Path("metrics/summary.json").read_text())["leaky"] is True


def test_text_from_data_and_params_stays_text(made: Made, text: str, render: Render) -> None:
    """Names from the data and the title from the parameters stay text, whatever they hold."""
    nasty = "<script>alert('x')</script>\"&"
    call_dataset(made, nasty)
    compared = made["compare/melanoma"]
    evaluated = [made[name] for name in made if name.startswith("evaluate/")]
    evaluated += [each["deployment"] for each in (compared, made["compare/diagnosis"])]
    evaluated += [compared["ensemble"], made["compare/diagnosis"]["ensemble"], *compared["from_diagnosis"].values()]
    evaluated += [each for name in made if name.startswith("rivals/") for each in made[name]["scores"].values()]
    for each in evaluated:
        each["external"] = {f"other {nasty}": scores for scores in each["external"].values()}
    for beside in (made["rivals/melanoma"], made["rivals/diagnosis"]):
        beside["gains"][f"other {nasty}"] = beside["gains"].pop("clinic")
    shown = Page(render(made, re.sub(r"(?m)^  title: .*$", lambda _: f"  title: {json.dumps(nasty)}", text)))
    assert [tag for tag, _ in shown.tags].count("script") == 2  # the page's own
    assert shown.text.count(nasty) > 5


def test_every_metric_stands_with_its_interval(made: Made, backbones: list[str], render: Render) -> None:
    """Every metric of every backbone and of the ensemble stands in its column with its interval."""
    tests = {name: made[f"evaluate/melanoma/{name}"]["test"] for name in backbones}
    tests["ensemble"] = made["compare/melanoma"]["ensemble"]["test"]
    for i, scores in enumerate(tests.values()):
        score(scores, 0.01 * i)
    shown = Page(render(made))
    for i, name in enumerate(tests):
        cells = shown.row(name, f"{0.3 + 0.01 * i:.3f}{0.2 + 0.01 * i:.3f}–{0.4 + 0.01 * i:.3f}")
        values = [round(0.3 + 0.05 * k + 0.01 * i, 3) for k in range(len(METRICS))]
        assert cells[1:-1] == [f"{v:.3f}{v - 0.1:.3f}–{v + 0.1:.3f}" for v in values[:-1]]
        assert cells[-1] == f"{values[-1]:.3f}"  # an ECE has no interval


def test_every_score_stands_beside_trivial_ones(made: Made, render: Render) -> None:
    """Each table of scores ends with the three trivial predictors; the constant names the commonest class."""
    constant = made["rivals/diagnosis"]["scores"]["constant"]
    constant["test"]["decisions"]["likeliest"]["accuracy"] = 0.671
    constant["external"]["clinic"]["decisions"]["likeliest"]["accuracy"] = 0.529
    shown = Page(render(made))
    for accuracy in ("0.671", "0.529"):
        row = shown.row("val's class shares", accuracy)
        at = shown.rows.index(row)
        assert [each[0] for each in shown.rows[at + 1 : at + 3]] == [*RIVALS.values()][1:]
        assert row[2] == "0.500"  # ROC AUC
        assert len({len(each) for each in shown.rows[at - 1 : at + 3]}) == 1
    rivals = made["rivals/diagnosis"]["scores"]
    told = {"melanoma_roc_auc": 0.717, "melanoma_roc_auc_ci": [0.611, 0.811]}
    rivals["quality"]["test"]["by_lesion"] |= told
    rivals["metadata"]["test"]["by_lesion"] |= {"melanoma_roc_auc": None}
    rivals["metadata"]["test"]["by_lesion"].pop("melanoma_roc_auc_ci", None)
    made["compare/diagnosis"]["ensemble"]["test"]["by_lesion"] |= {**told, "melanoma_roc_auc": 0.727}
    shown = Page(render(made))
    at = shown.rows.index(
        next(row for row in shown.rows if row[-1:] == ["ROC\xa0AUC of melanoma"] and row[1] == "Lesions")
    )
    last = {row[0]: row[-1] for row in shown.rows[at + 1 : at + 9] if len(row) == 3 + len(page.BY_LESION)}
    assert last[RIVALS["quality"]] == "0.7170.611–0.811"
    assert last[RIVALS["metadata"]] == "–"
    assert "0.7270.611–0.811" in last.values()


def test_every_metric_is_named_and_explained(made: Made, render: Render) -> None:
    """Every metric that is computed has a name, a heading of a column, and a meaning."""
    shown = Page(render(made))
    assert {*METRICS, *SKILLS} == {*results.METRICS} - {"n", "lesions"}
    for metric in METRICS.values():
        assert f"{metric.heading}\xa0{'↑' if metric.higher else '↓'}" in shown.row("Backbone", "Accuracy\xa0↑")
        assert metric.heading in shown.text
        assert metric.meaning in shown.text
    for skill in SKILLS.values():
        assert f"{skill.heading}{skill.meaning}" in shown.text.replace("\n", "")


def test_training_and_operating_points_are_told(made: Made, backbones: list[str], render: Render) -> None:
    """A row says how a backbone was trained, another what its threshold reaches on val, test and outside."""
    name = backbones[0]
    made[f"train/melanoma/{name}"] |= {"parameters": 23_512_130, "n_train": 4012, "epochs": 3, "best_epoch": 2}
    evaluation = made[f"evaluate/melanoma/{name}"]
    parts = [evaluation["val"], evaluation["test"], *evaluation["external"].values()]
    for part in parts:
        point = {"threshold": 0.123, "sensitivity": 0.75, "specificity": 0.625, "precision": 0.5, "npv": None}
        part["operating_points"]["sensitivity_0.9"] = {**point, "sensitivity_ci": [0.7, 0.8]}
    shown = Page(render(made))
    assert shown.row(name, "23.5 M")[2:8] == ["random weights", "0.20", "0.00", "4,012", "3", "2"]
    assert shown.row(name, "0.123")[1:] == ["0.9", "0.123", *["0.7500.700–0.800", "0.625", "0.500", "–"] * len(parts)]


def test_what_a_network_saw_beside_the_image_is_told(made: Made, backbones: list[str], render: Render) -> None:
    first, other = backbones[:2]
    assert "Beside the image" not in Page(render(made)).text
    made[f"train/melanoma/{first}"] |= {"n_train": 4012, "metadata": ["age", "localization"]}
    shown = Page(render(made))
    assert shown.row(first, "4,012")[6] == "age, localization"
    assert any(row[:1] == [other] and "nothing" in row for row in shown.rows)
    assert shown.text.count("Beside the image") == 1


def test_val_chooses_and_test_is_told(made: Made, backbones: list[str], render: Render) -> None:
    """The headline is the backbone that val chose, with its test score; bold cells are the best of val, not of test."""
    *_, last = backbones
    made["compare/melanoma"]["chosen"] = last
    for name in backbones:
        for part, value in {"val": 0.8 if name == last else 0.7, "test": 0.6 if name == last else 0.9}.items():
            scores = made[f"evaluate/melanoma/{name}"][part]
            scores["roc_auc"] = value
            scores.pop("roc_auc_ci", None)
    for each in [made["compare/melanoma"]["ensemble"], *made["compare/melanoma"]["from_diagnosis"].values()]:
        each["val"]["roc_auc"] = 0.75
    html = render(made)
    text = " ".join(Page(html).text.split())
    assert (
        f"Of 3 backbones, {last} was chosen: it has the highest ROC AUC on the validation split, 0.800. "
        "On the test split it scores 0.600 (guessing scores 0.500)."
    ) in text
    assert '<td class="best">0.600</td>' in html
    assert '<td class="best">0.900</td>' not in html


def test_a_sealed_test_shows_nowhere(sealed: Made, render: Render) -> None:
    """While the test split is sealed, page and summary hold scores on val alone, and say so."""
    html = render(sealed)
    text = " ".join(Page(html).text.split())
    assert "The test split is sealed: all scores are of the validation split." in text
    assert "Melanoma or not: validation split" in text
    assert ": test split" not in text
    assert "external cohort clinic" not in text
    summed = json.loads(Path("metrics/summary.json").read_text())
    names = {key for task in ("melanoma", "diagnosis") for row in summed[task].values() for key in row}
    assert "val_roc_auc_ci" in names
    assert all(name.startswith("val_") for name in names)


def test_an_open_test_is_not_called_sealed(made: Made, render: Render) -> None:
    """With an open test split, the page is of test and of the external cohort."""
    text = " ".join(Page(render(made)).text.split())
    assert "sealed" not in text.split("How it was made")[0].replace("evaluate.test", "")
    assert "Melanoma or not: test split" in text
    assert "Melanoma or not: external cohort clinic" in text


def test_the_ensemble_is_a_full_member(made: Made, backbones: list[str], render: Render) -> None:
    """The ensemble has scores, calibration, rules, thresholds and differences, and melanoma is read from seven."""
    shown = Page(render(made))
    rows = [row for row in shown.rows if row[0].startswith("ensemble")]
    assert len({len(row) for row in rows}) > 4
    assert shown.row(f"{backbones[0]} − ensemble")
    seven = [row for row in shown.rows if row[0] == f"{backbones[0]}, from seven diagnoses"]
    assert len(seven) >= 6  # scores, by lesion, external, calibration, rules, thresholds


def test_all_rules_stand_beside_the_one_shown(made: Made, backbones: list[str], render: Render) -> None:
    """The rule in force is said; the numbers of each rule stand in a table of their own."""
    decided = made[f"evaluate/melanoma/{backbones[0]}"]["test"]["decisions"]
    decided["likeliest"] |= {"accuracy": 0.987, "accuracy_ci": [0.9, 0.99], "precision": None}
    shown = Page(render(made))
    row = next(row for row in shown.rows if row[:2] == ["likeliest", "0.9870.900–0.990"])
    assert row[3] == "–"
    assert "Decisions follow the rule balanced: the class whose probability is largest beside its share" in shown.text


def test_calibration_is_claimed_where_it_is_shown(made: Made, backbones: list[str], render: Render) -> None:
    """A row tells intercept, slope and skills, and what is off."""
    name = backbones[0]
    scores = made[f"evaluate/melanoma/{name}"]["test"]
    scores |= {"log_loss_skill": -0.2, "brier_skill": 0.1, "brier_skill_ci": [0.05, 0.15]}
    scores["melanoma"] |= {"slope": 0.5, "slope_ci": [0.4, 0.6], "intercept": 0.0, "intercept_ci": [-0.1, 0.1]}
    row = Page(render(made)).row(name, "0.5000.400–0.600")
    assert row[-1] == (
        "p(melanoma) is not shown to be calibrated: log-loss skill is −0.200: no gain over val's class shares; "
        "slope is 0.500: probabilities are too extreme."
    )


def test_heat_maps_have_rivals(made: Made, backbones: list[str], render: Render) -> None:
    """The gains over maps that know nothing stand with their intervals, and what they show."""
    row = Page(render(made)).row(backbones[0], "bn2")
    assert row[5:9] == [
        "0.250",
        "+0.200+0.150 to +0.2500.400",
        "+0.020−0.030 to +0.0700.580",
        "+0.300+0.250 to +0.3500.300",
    ]
    assert row[9] == "not shown to be more than their mean"


@pytest.mark.parametrize(
    ("dataset", "said"),
    [("ham10000", "HAM10000 names lesions, not patients."), ("phantom", "Phantom lesions have no patients.")],
)
def test_patients_are_said_to_be_unknown(made: Made, render: Render, dataset: str, said: str) -> None:
    """Lesions of one patient may stand in two splits: the page says so of real data."""
    call_dataset(made, dataset)
    assert said in Page(render(made)).text


def test_patients_and_classes_left_out_are_told_where_they_are_known(made: Made, render: Render) -> None:
    """The page says that groups are patients, what is resampled, and which images are not in the cohort."""
    call_dataset(made, "mine")
    made["index"]["cohorts"]["mine"] |= {"patients": 90, "without_patient": 0}
    made["index"]["cohorts"]["phantom_external"]["excluded"] = {"<SCC>": 5}
    split = made["split"]
    overlaps = list(split["audit"]["overlaps"].items())
    split["audit"]["overlaps"] = dict([overlaps[0], ("patient", {"train-test": 0}), *overlaps[1:]])
    made["split"] = {"leaky": False, "leaking_groups": 0, "by_patient": True, **split}
    text = " ".join(Page(render(made)).text.split())
    assert "joined by a merged duplicate, or by their patient. The metadata name 90 patients." in text
    assert "resamples of whole patients, or lesions whose patient is unknown" in text
    assert "Left out of phantom_external, as their class is none of these: 5 images (<SCC> 5)." in text


def test_differences_held_for_all_pairs_are_starred(made: Made, backbones: list[str], render: Render) -> None:
    """A difference bears a star where p is below 0.05 for all pairs together."""
    pair = " - ".join(backbones[:2])
    difference: dict[str, Any] = {}
    for name, held in {"balanced_accuracy": 0.06, "roc_auc": 0.02, "average_precision": 1, "recall": 1}.items():
        difference |= {name: -0.01, f"{name}_ci": [-0.02, -0.005], f"{name}_p": held / 2, f"{name}_p_holm": float(held)}
    made["compare/melanoma"]["differences"][pair] = {**difference, "log_loss": -0.01}
    row = Page(render(made)).row(pair.replace(" - ", " − "))
    assert row[1:3] == ["−0.010−0.020 to −0.005p 0.060", "−0.010*−0.020 to −0.005p 0.020"]
    assert row[-1] == "−0.010"


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
        *("balanced accuracy", "all", "1,496 / 1,502", "0.6880.653–0.723", "0.7390.704–0.769", "+0.051+0.009 to +0.091")
    ]
    assert "real HAM10000 images, whatever the data of this page are" in shown.text
    assert "sibling - alone" not in shown.text


def test_a_leak_that_is_undefined_shows_as_a_dash(made: Made, leak: str, render: Render) -> None:
    """Where a class is missing, the cost of a leak is a dash."""
    once = "lesion photographed once"
    for scheme, n in (("lesion", "810"), ("image - lesion", "")):
        leak = re.sub(rf"(?m)^({scheme},{once},balanced accuracy),.*$", rf"\1,{n},,,,,,", leak)
    row = Page(render(made, leak=leak)).row("balanced accuracy", once)
    assert row[2:] == ["810 / 814", "–", "0.7610.701–0.812", "–"]


def test_versions_are_of_installed_packages() -> None:
    """The packages that shape the results are listed with their versions."""
    found = page.versions()
    assert list(found) == ["Python", *page.PACKAGES]
    assert re.fullmatch(r"3\.\d+", found["Python"] or "")
    assert all(version is None or version[0].isdigit() for version in found.values())


def test_refusals_are_told_of_test_and_of_val_while_it_is_sealed(made: Made, sealed: Made, render: Render) -> None:
    """Coverage is of test and other cohorts, never of val; each number stands with its interval."""
    html = render(made)
    told = section(html, "refusal")
    chosen = made["compare/melanoma"]["refusal"]
    coverage = chosen["conformal"]["parts"]["test"]
    assert formats.number(coverage["coverage"]) in told
    assert formats.interval(coverage["coverage_ci"]) in told
    missed = chosen["parts"]["clinic"]["at"]["0.1"]
    assert formats.interval(missed["melanomas_missed_ci"]) in told
    assert formats.number(chosen["parts"]["test"]["aurc_random"]) in told
    assert "Of the melanomas of the test split, a share of 0.125" in told
    assert "sealed" not in told
    closed = section(render(sealed), "refusal")
    assert "The test split is sealed: nothing is measured yet." in closed
    assert "too good" in closed
    assert "Coverage, " not in closed


def test_neighbours_stand_beside_chance_and_failures_are_of_the_chosen(made: Made, render: Render) -> None:
    html = render(made)
    told = section(html, "failures")
    row = made["explain/melanoma/resnet50"]["neighbours"]
    for number in (row["same"], row["same_chance"], row["balanced"], row["balanced_chance"], row["first"]):
        assert formats.number(number) in told
    assert len(re.findall("<img", told)) == 2  # one a task
    energy = section(html, "gradcam")
    assert formats.interval([0.5, 0.6]) in energy  # by class


def section(html: str, name: str) -> str:
    """The HTML of one section of the page."""
    (found,) = re.findall(rf'<section aria-labelledby="{name}">.*?</section>', html, flags=re.DOTALL)
    return str(found)
