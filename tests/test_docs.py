"""The documents: what they link to, what they say of files, columns and keys, and code in them that must run."""

import doctest
import importlib
import json
import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from mini_pipeline import BACKBONE, files_below
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
DOORS = {
    "core.cache": ["key"],
    "core.sampling": ["assign", "hash_order"],
    "eda.effects": ["cramers_v"],
    "evidence.calibration": ["fit"],
    "evidence.compare": ["holm"],
    "evidence.conformal": ["thresholds"],
    "evidence.decisions": ["decide", "expected_cost", "operating_points"],
    "evidence.deployment": ["lesions_needed"],
    "evidence.metrics": ["evaluate"],
    "evidence.refusal": ["aurc", "limits"],
    "experiments.own": ["is_own"],
    "experiments.replicates": ["t_interval"],
    "experiments.show": ["shared", "with_bounds"],
    "hair.find": ["find_hair"],
    "images": ["shades_of_grey", "square"],
    "index.quality": ["measure"],
    "index.tables": ["clean", "look"],
    "learn.augment": ["keras_matrix"],
    "learn.classifier": ["side_of"],
    "networks.coding": ["blocks", "encode"],
    "networks.packaged": ["weights_of"],
    "split.assign": ["group_lesions"],
    "split.audit": ["audit"],
    "split.audit_files": ["split_of"],
    "tracking.names": ["safe"],
}


def without_code(page: str) -> str:
    return re.sub(r"^(```.*?^```|    .*?)$", "", page, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(without_code(page.read_text())) if "://" not in link]
    lost = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def test_the_index_names_every_page() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall((ROOT / "docs/README.md").read_text())}
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"} <= linked


def test_the_reference_is_what_the_code_says() -> None:
    made = runpy.run_path(str(ROOT / "docs/reference.py"))["render"]()
    assert (ROOT / "docs/reference.md").read_text() == made, "docs/reference.md is out of date; `make docs` mends it"


def test_the_reference_names_every_file_and_column_of_a_run(ran: Path) -> None:
    reference = runpy.run_path(str(ROOT / "docs/reference.py"))
    patterns = [re.sub(r"<\w+>", "[^/]+", re.escape(path)) for path in reference["written"]()]
    made = files_below(ran / "store")
    assert not [path for path in made if not any(re.fullmatch(pattern, path) for pattern in patterns)]
    for path in sorted(path for path in made if path.startswith("reports/eda/") and path.endswith(".csv")):
        told = re.findall(r"`([^`]+)`", reference["SHOWN"][Path(path).stem].partition(": ")[0])
        found = (ran / "store" / path).read_text().splitlines()[0].split(",")
        named = [name for name in told if not name.startswith("<")]
        assert [name for name in found if name in named] == named, path
        assert len(named) < len(told) or found == named, path


@pytest.mark.parametrize("module", DOORS)
def test_examples_run(module: str) -> None:
    imported = importlib.import_module(f"lesionbench.{module}")
    examples = {test.name: test for test in doctest.DocTestFinder().find(imported) if test.examples}
    assert sorted(examples) == [f"lesionbench.{module}.{name}" for name in DOORS[module]]
    assert doctest.testmod(imported).failed == 0


def test_no_example_is_left_out() -> None:
    library = ROOT / "src/lesionbench"
    with_examples = {path for path in library.rglob("*.py") if ">>> " in path.read_text()}
    assert with_examples == {library / f"{module.replace('.', '/')}.py" for module in DOORS}


def test_the_notebook_runs_and_prints_what_it_says(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/notebook.md").read_text()
    assert page.count(f'"{BACKBONE}"') == 1
    shutil.copytree(ran / "store", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    done = runpy.run_path(str(ROOT / "docs/notebook.py"))["run"](page)
    # The page shows the committed run: its numbers differ, its words don't.
    said, says = (re.sub(r"\s+", " ", re.sub(r"-?\d+(\.\d+)?", "#", text)) for text in (done, page))
    assert said == says
    assert Path("reports/notebook.webp").exists()


def test_the_notebook_shows_the_committed_run() -> None:
    found = json.loads((ROOT / f"metrics/evaluate/melanoma/{BACKBONE}.json").read_text())
    biases = ", ".join(f"{bias:.2f}" for bias in found["biases"].values())
    page = (ROOT / "docs/notebook.md").read_text()
    assert f"temperature {found['temperature']:.2f}, biases {biases}" in page
    assert f"balanced accuracy {found['test']['balanced_accuracy']:.2f} [" in page


def test_the_table_of_ingredients_is_its_csv() -> None:
    """Each cell, the number of trainings, and how many intervals are said to exclude 0."""
    found = pd.read_csv(ROOT / "docs/ingredients.csv").set_index(["ingredient", "part", "metric"])
    wanted = [("val", "roc_auc"), ("val", "balanced_accuracy")]
    wanted += [(part, "melanoma_roc_auc") for part in ("val", "test", "isic2017")]
    page, excluded, intervals = (ROOT / "docs/recipes.md").read_text(), 0, 0
    for name in found.index.get_level_values("ingredient").unique():
        cells = re.search(rf"^\| {re.escape(name)} \|([^\n]*)\|$", page, re.MULTILINE)
        assert cells is not None, name
        trainings, *values = (cell.strip().replace("−", "-") for cell in cells[1].split("|"))
        for where, value in zip(wanted, values, strict=True):
            if (name, *where) not in found.index:
                assert value == ""
                continue
            row = found.loc[(name, *where)]
            told = [float(number) for number in re.findall(r"[-+]\d\.\d+", value)]
            assert told == pytest.approx(row[["difference", "low", "high"]].tolist(), abs=0.00055), (name, where)
            if trainings:
                assert int(trainings) == row["seeds"]
                intervals, excluded = intervals + 1, excluded + (row["low"] > 0 or row["high"] < 0)
    assert f"({intervals})" in page
    assert f"chance; {excluded} do." in " ".join(page.split())


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert {newest[1], str(YAML(typ="safe").load(ROOT / "CITATION.cff")["version"])} == {version}
