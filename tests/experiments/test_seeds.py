"""The mean of trainings that differ in the seed alone: its scores, those of each, and when there is no mean."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from drawn_experiments import PARAMETERS, row, scores
from scipy.special import expit
from sklearn import metrics as sk

from lesionbench.evidence.names import ENSEMBLE
from lesionbench.experiments import seeds, show, tables

NAMES = [*PARAMETERS, "evaluate.test"]
Tables = dict[str, pd.DataFrame]


def draw(networks: int = 3, n: int = 400, independent: float = 1.0) -> Tables:
    """Predictions of networks that see a melanoma equally well, each with errors of its own; by experiment."""
    rng = np.random.default_rng(0)
    split = np.repeat(["val", "test", "external"], n)
    melanoma = rng.random(3 * n) < 0.3
    common = rng.normal(size=3 * n) + melanoma
    made = {}
    for k in range(networks):
        logit = common + independent * rng.normal(size=3 * n) - 0.5
        p = expit(logit)
        ids = [f"I{i:04d}" for i in range(3 * n)]
        table = pd.DataFrame({"image_id": ids, "lesion_id": ids, "group_id": ids, "split": split})
        table = table.assign(label=np.where(melanoma, "melanoma", "non_melanoma"), p_non_melanoma=1 - p, p_melanoma=p)
        made[f"s{k}"] = table.assign(cohort=np.where(split == "external", "elsewhere", "phantom"))
    return made


def experiments(names: Mapping[str, float] | list[str], **params: object) -> list[dict]:
    """Rows of experiments with a seed each."""
    return [
        row(name, name, scores(0.6, ("resnet50",)), **{"seed": float(seed), "evaluate.test": "open", **params})
        for seed, name in enumerate(names)
    ]


def average(
    monkeypatch: pytest.MonkeyPatch,
    made: Tables,
    found: list[dict],
    split: str = "test",
    samples: int = 0,
    over: tuple[str, ...] = seeds.OVER,
) -> tuple[pd.DataFrame, list[str]]:
    def read(name: str, path: str) -> pd.DataFrame | None:
        return made.get(f"{name} {path}", made.get(name))

    monkeypatch.setattr(seeds, "read_table", read)
    return seeds.average(tables.tabulate([row(None, "main"), *found], NAMES, split), NAMES, split, samples, over)


def of(table: pd.DataFrame, cohort: str | None = None) -> pd.DataFrame:
    own = table["cohort"].isna() if cohort is None else table["cohort"].eq(cohort)
    return table[own].set_index("metric")


@pytest.mark.parametrize(("part", "cohort"), [("test", None), ("external", "elsewhere")])
def test_the_mean_is_of_probabilities_and_each_network_stands_beside_it(
    monkeypatch: pytest.MonkeyPatch, part: str, cohort: str | None
) -> None:
    """Calibration keeps the ranking but for rounding, so scikit-learn's area of the plain mean is nearly the same."""
    made = draw()
    told, refused = average(monkeypatch, made, experiments([*made]), samples=200)
    assert not refused
    found = of(told, cohort)
    parts = [table[table["split"].eq(part)] for table in made.values()]
    y = parts[0]["label"].eq("melanoma")
    alone = [sk.roc_auc_score(y, each["p_melanoma"]) for each in parts]
    mean = np.mean([each["p_melanoma"] for each in parts], axis=0)
    assert found.loc["roc_auc", "mean"] == pytest.approx(sk.roc_auc_score(y, mean), abs=1e-4)
    assert found.loc["roc_auc", ["single", "min", "max"]].tolist() == pytest.approx(
        [np.mean(alone), min(alone), max(alone)]
    )
    assert found.loc["log_loss", "single"] == pytest.approx(np.mean([sk.log_loss(y, e["p_melanoma"]) for e in parts]))
    assert found.loc["roc_auc", ["n", "images", "lesions"]].tolist() == [3, 400, 400]
    assert found.loc["roc_auc", "low"] < found.loc["roc_auc", "mean"] < found.loc["roc_auc", "high"]


def test_lesions_are_drawn_within_their_class_but_for_a_source_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a log loss, lesions drawn freely give a wider interval. DVC tells null as "None"."""
    made = draw()
    widths = []
    for source in (None, "None", "", "rosendahl"):
        found = experiments([*made], **{"split.holdout_source": source})
        base = row(None, "main", **{"split.holdout_source": source})
        monkeypatch.setattr(seeds, "read_table", lambda name, _: made.get(name))
        names = [*NAMES, "split.holdout_source"]
        told = of(seeds.average(tables.tabulate([base, *found], names, "test"), names, "test", 400)[0])
        widths.append(told.loc["log_loss", "high"] - told.loc["log_loss", "low"])
    assert widths[0] == widths[1] == widths[2] < 0.9 * widths[3]


def test_skills_are_against_the_class_shares_of_val(monkeypatch: pytest.MonkeyPatch) -> None:
    made = draw()
    test = made["s0"]["split"].eq("test")
    rare = made["s0"]["label"].eq("non_melanoma") | (np.arange(len(test)) % 3 == 0)
    made = {name: table[~test | rare].reset_index(drop=True) for name, table in made.items()}
    found = of(average(monkeypatch, made, experiments([*made]))[0])
    parts = [table[table["split"].eq("test")] for table in made.values()]
    y = parts[0]["label"].eq("melanoma")
    share = made["s0"].loc[made["s0"]["split"].eq("val"), "label"].eq("melanoma").mean()
    constant = sk.log_loss(y, np.full(len(y), share))
    skills = [1 - sk.log_loss(y, each["p_melanoma"]) / constant for each in parts]
    assert found.loc["log_loss_skill", ["single", "min", "max"]].tolist() == pytest.approx(
        [np.mean(skills), min(skills), max(skills)]
    )
    called = [each["p_melanoma"] >= share for each in parts]  # the rule `balanced`
    assert found.loc["balanced_accuracy", "single"] == pytest.approx(
        np.mean([sk.balanced_accuracy_score(y, each) for each in called])
    )


def test_the_mean_reaches_what_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three networks with errors of their own: the area that normal distributions give, and calibrated p.

    Logits differ by 1 between the classes, with a variance of 1 that all share and a third of 1 that is left of the
    networks' own. The mean of probabilities is nearly the mean of logits.
    """
    from scipy.stats import norm

    made = draw(n=20_000)
    found = of(average(monkeypatch, made, experiments([*made]))[0])
    assert found.loc["roc_auc", "mean"] == pytest.approx(norm.cdf(1 / np.sqrt(2 * (1 + 1 / 3))), abs=0.007)
    assert found.loc["roc_auc", "single"] == pytest.approx(norm.cdf(1 / np.sqrt(2 * 2)), abs=0.007)
    slope, shift = 1 / (1 + 1 / 3), np.log(0.3 / 0.7)  # of the best p, from logits with the middle at 0
    rng = np.random.default_rng(1)
    y = rng.random(200_000) < 0.3
    seen = rng.normal(0, np.sqrt(4 / 3), len(y)) + y - 0.5
    best = sk.log_loss(y, expit(slope * seen + shift))
    assert found.loc["log_loss", "mean"] == pytest.approx(best, abs=0.01)
    assert found.loc["log_loss", "single"] > best + 0.05


def test_shuffled_labels_give_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the mean and of each training alone: no area beyond chance, by image and by lesion, and no skill."""
    rng = np.random.default_rng(7)
    made = draw(n=2000)
    label = made["s0"]["label"].to_numpy().copy()
    for part in ("val", "test", "external"):
        own = made["s0"]["split"].eq(part).to_numpy()
        label[own] = rng.permutation(label[own])
    made = {name: table.assign(label=label) for name, table in made.items()}
    found = of(average(monkeypatch, made, experiments([*made]), samples=200)[0])
    for metric in ("roc_auc", "by_lesion.roc_auc"):
        assert found.loc[metric, "low"] < 0.5 < found.loc[metric, "high"]
        assert found.loc[metric, ["min", "max"]].tolist() == pytest.approx([0.5, 0.5], abs=0.04)
    assert found.loc["log_loss_skill", "mean"] == pytest.approx(0, abs=0.01)


def test_networks_that_err_alike_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = draw(2, independent=0.001)
    found = of(average(monkeypatch, made, experiments([*made]))[0])
    assert found.loc["roc_auc", "mean"] == pytest.approx(found.loc["roc_auc", "single"], abs=1e-3)


def test_val_while_test_is_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of test and external images nothing is said, opened or not; one sealed and one opened experiment have a mean."""
    made = draw(2)
    shut = made | {"s0": made["s0"][made["s0"]["split"].eq("val")]}
    found = experiments([*made])
    found[0]["evaluate.test"] = "auto"
    told, refused = average(monkeypatch, shut, found, "val")
    assert told["cohort"].isna().all()
    assert {*told["n"]} == {2}
    assert not refused
    parts = [table[table["split"].eq("val")] for table in made.values()]
    wanted = sk.roc_auc_score(parts[0]["label"].eq("melanoma"), np.mean([each["p_melanoma"] for each in parts], axis=0))
    assert of(told).loc["roc_auc", "mean"] == pytest.approx(wanted, abs=1e-4)


def test_what_has_no_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network, networks on other images, folds, and predictions that no cache has."""
    made = draw()
    assert average(monkeypatch, made, experiments(["s0"]))[0].empty
    assert average(monkeypatch, made, experiments([*made]), over=("split.fold",))[0].empty
    less = {**made, "s1": made["s1"].iloc[:-1]}
    told, refused = average(monkeypatch, less, experiments([*made]))
    assert told.empty
    why = "s0 and s1 were not scored on the same images in the same order"
    assert refused == [f"melanoma, evaluate.test=open, resnet50: {why}"]
    assert seeds.refusal(less, "melanoma", [], drawn=True) == f"{why}; seed draws the phantom's images too"
    folds = [
        row(f"s{k}", f"s{k}", scores(0.6, ("resnet50",)), **{"split.folds": 3.0, "split.fold": float(k)})
        for k in range(3)
    ]
    told, refused = average(monkeypatch, made, folds)
    assert told.empty
    assert not refused
    told, _ = average(monkeypatch, {name: made[name] for name in ("s0", "s2")}, experiments([*made]))
    assert {*told["without"]} == {"s1 (not in DVC's cache)"}
    assert {*told["n"]} == {2}
    told, refused = average(monkeypatch, {"s0": made["s0"]}, experiments([*made]))
    assert told.empty
    assert refused[0].endswith("a mean needs two trainings; without s1 (not in DVC's cache), s2 (not in DVC's cache)")
    told, refused = average(monkeypatch, {"s0": made["s0"], "s1": made["s0"].copy()}, experiments(["s0", "s1"]))
    assert told.empty
    assert refused[0].endswith("s0 and s1 have the same predictions, so they are one training")
    later = {**made, "s2": made["s1"].copy()}
    assert (
        seeds.refusal(later, "melanoma", [], drawn=False)
        == "s1 and s2 have the same predictions, so they are one training"
    )


def test_a_cost_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "read_text", lambda *_: None)
    told, refused = average(monkeypatch, draw(), experiments(["s0", "s1"], **{"evaluate.decision": "cost"}))
    assert told.empty
    assert "no evaluate.cost.melanoma can be read in params.yaml of s0" in refused[0]


def test_the_ensemble_of_backbones_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of two seeds' ensembles of two backbones ranks as all four networks together do."""
    every = draw(4, n=3000)
    made = {
        f"{name} {tables.predictions_path('melanoma', backbone)}": every[f"s{2 * k + j}"]
        for k, name in enumerate(("one", "two"))
        for j, backbone in enumerate("ab")
    }
    found = experiments(["one", "two"])
    for each in found:
        each["summary"] = scores(0.6, ("a", "b", ENSEMBLE))
    told = of(average(monkeypatch, made, found)[0].query("backbone == @ENSEMBLE"))
    parts = [table[table["split"].eq("test")] for table in every.values()]
    area = sk.roc_auc_score(parts[0]["label"].eq("melanoma"), np.mean([p["p_melanoma"] for p in parts], axis=0))
    assert told.loc["roc_auc", "mean"] == pytest.approx(area, abs=2e-3)
    assert told.loc["roc_auc", "mean"] > told.loc["roc_auc", "max"]
    found[1]["summary"] = scores(0.6, ("a", ENSEMBLE))  # an ensemble is of the backbones of its own experiment
    told = of(average(monkeypatch, made, found, over=("seed", "backbones"))[0].query("backbone == @ENSEMBLE"))
    alone = sk.roc_auc_score(parts[0]["label"].eq("melanoma"), parts[2]["p_melanoma"])
    assert told.loc["roc_auc", "min"] == pytest.approx(alone, abs=1e-4)


def test_the_printed_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made = draw()
    show.pooled(average(monkeypatch, made, experiments([*made]), samples=50)[0], "test")
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    about = "mean of the trainings' calibrated probabilities, calibrated once more on val"
    alone = "and each training alone: mean (range)"
    assert f"melanoma on test: {about} [95 % interval over lesions], {alone}" in told
    assert f"melanoma on elsewhere: {about} [95 % interval, lesions drawn freely], {alone}" in told
    assert "3 trainings" in told
    assert "400 images, 400 lesions" in told
    assert "by lesion: roc auc" in told
    assert "nan" not in told
