"""Folds as one model: predictions pooled, the mean of the networks elsewhere, and what is said of folds that lack."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from drawn_experiments import PARAMETERS, row, scores
from scipy.special import softmax
from sklearn import metrics as sk

from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import compare
from lesionbench.evidence.names import ENSEMBLE
from lesionbench.evidence.predictions import probabilities
from lesionbench.experiments import as_one, folds, replicates, show, tables

ONE = ("resnet50",)
K = 3
NAMES = [*PARAMETERS, "evaluate.test"]
Tables = dict[str, pd.DataFrame]


def lesions(rng: np.random.Generator, n: int, task: str, start: str) -> pd.DataFrame:
    """Two images a lesion, of any class."""
    label = np.array(CLASSES[task])[rng.integers(0, len(CLASSES[task]), n // 2).repeat(2)]
    group = [f"{start}L{i // 2:04d}" for i in range(n)]
    ids = {"image_id": [f"{start}{i:04d}" for i in range(n)], "lesion_id": group, "group_id": group}
    return pd.DataFrame({**ids, "label": label})


def predict(rng: np.random.Generator, table: pd.DataFrame, task: str, skill: float = 1.0) -> pd.DataFrame:
    """Probabilities of a network that knows a little, and no more of one image of a lesion than of the other."""
    names = CLASSES[task]
    known = (table["label"].to_numpy()[:, None] == np.array(names)).astype(float)
    p = softmax(skill * known + rng.normal(size=known.shape), axis=1)
    return table.assign(**{f"p_{name}": p[:, c] for c, name in enumerate(names)})


def draw(task: str = "melanoma", n: int = 360, external: int = 200, seed: int = 0) -> Tables:
    """Predictions of K folds, each with the next one as val, and an external cohort; by name of the experiment."""
    rng = np.random.default_rng(seed)
    own, other = lesions(rng, n, task, "I"), lesions(rng, external, task, "E")
    fold = np.arange(n) // 2 % K
    made = {}
    for k in range(K):
        parts = [own[fold == (k + 1) % K].assign(split="val"), own[fold == k].assign(split="test")]
        home = pd.concat(parts).assign(cohort="phantom")
        every = pd.concat([home, other.assign(split="external", cohort="elsewhere")], ignore_index=True)
        made[f"f{k}"] = predict(rng, every, task)
    return made


def experiment(name: str, fold: int, state: str | None = None, task: str = "melanoma", **params: object) -> dict:
    """A row of a fold; one with a state has no scores."""
    summary = None if state else scores(0.6, ONE)
    if summary and task != "melanoma":
        summary[task] = summary.pop("melanoma")
    params = {"split.folds": float(K), "split.fold": float(fold), "evaluate.test": "open", **params}
    return row(name, name, summary, state if state != "Success" else None, **params)


def pool(
    monkeypatch: pytest.MonkeyPatch,
    made: Mapping[str, pd.DataFrame],
    found: list[dict],
    split: str = "test",
    samples: int = 0,
    over: tuple[str, ...] = folds.OVER,
    patients: bool = False,
) -> folds.Pooled:
    def read(name: str, path: str) -> pd.DataFrame | None:
        return made.get(f"{name} {path}", made.get(name))

    monkeypatch.setattr(folds, "read_table", read)
    table = tables.tabulate([row(None, "main", **{"split.folds": float(K)}), *found], NAMES, split)
    return folds.pool(table.assign(patients=patients), NAMES, split, samples, over)


def of_all(task: str = "melanoma", **params: object) -> list[dict]:
    return [experiment(f"f{k}", k, task=task, **params) for k in range(K)]


def by_metric(found: folds.Pooled, of: str) -> pd.DataFrame:
    return found.scores[found.scores["of"].eq(of)].set_index("metric")


def together(made: Tables, split: str) -> pd.DataFrame:
    return pd.concat([table[table["split"].eq(split)] for table in made.values()], ignore_index=True)


def test_the_predictions_of_all_folds_have_one_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image counts once; scores are scikit-learn's, skills are against the class shares of each fold's val."""
    made = draw()
    found = pool(monkeypatch, made, of_all(), samples=200)
    told, every = by_metric(found, "folds"), together(made, "test")
    y, p = every["label"].eq("melanoma"), every["p_melanoma"]
    assert told.loc["roc_auc", ["n", "folds", "images", "lesions"]].tolist() == [3, 3, 360, 180]
    assert told.loc["roc_auc", "mean"] == pytest.approx(sk.roc_auc_score(y, p))
    assert told.loc["average_precision", "mean"] == pytest.approx(sk.average_precision_score(y, p))
    assert told.loc["brier", "mean"] == pytest.approx(sk.brier_score_loss(y, p))
    assert told.loc["log_loss", "mean"] == pytest.approx(sk.log_loss(y, p))
    shares = [table.loc[table["split"].eq("val"), "label"].eq("melanoma").mean() for table in made.values()]
    assert len({*shares}) > 1
    constant = np.concatenate(
        [[share] * table["split"].eq("test").sum() for share, table in zip(shares, made.values(), strict=True)]
    )
    assert told.loc["log_loss_skill", "mean"] == pytest.approx(1 - sk.log_loss(y, p) / sk.log_loss(y, constant))
    assert told.loc["brier_skill", "mean"] == pytest.approx(1 - ((y - p) ** 2).mean() / ((y - constant) ** 2).mean())
    called = p / constant > (1 - p) / (1 - constant)
    assert told.loc["balanced_accuracy", "mean"] == pytest.approx(sk.balanced_accuracy_score(y, called))
    assert (told["low"] < told["mean"]).all()
    assert (told["mean"] < told["high"]).all()
    kept = found.predictions["melanoma"]
    assert kept["image_id"].is_unique
    assert kept.groupby("experiment")["fold"].unique().to_dict() == {"f0": [0], "f1": [1], "f2": [2]}


def test_seven_classes_have_the_melanomas_score_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    made = draw("diagnosis", n=600)
    told, every = by_metric(pool(monkeypatch, made, of_all("diagnosis")), "folds"), together(made, "test")
    p = probabilities(every, CLASSES["diagnosis"])
    assert told.loc["melanoma_roc_auc", "mean"] == pytest.approx(
        sk.roc_auc_score(every["label"].eq("mel"), every["p_mel"])
    )
    assert told.loc["roc_auc", "mean"] == pytest.approx(sk.roc_auc_score(every["label"], p, multi_class="ovr"))


def test_val_of_the_folds_is_pooled_while_test_is_sealed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of test and external images nothing is said then, and the table says what these folds were used for."""
    made = {name: table[table["split"].eq("val")] for name, table in draw().items()}
    found = pool(monkeypatch, made, of_all(), "val")
    assert {*found.scores["of"]} == {"folds"}
    y = together(made, "val")
    auc = sk.roc_auc_score(y["label"].eq("melanoma"), y["p_melanoma"])
    assert by_metric(found, "folds").loc["roc_auc", "mean"] == pytest.approx(auc)
    assert {*pool(monkeypatch, draw(), of_all(), "val").scores["of"]} == {"folds"}  # opened, but not asked for
    show.pooled(found.scores, "val")
    told = " ".join(capsys.readouterr().out.split())
    assert "melanoma on val: validation folds, on which calibration and the epoch were chosen, pooled" in told
    assert "out-of-fold" not in told


def test_the_mean_of_the_networks_is_scored_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean is of probabilities; beside it stand mean and range of the networks alone."""
    made = draw()
    told = by_metric(pool(monkeypatch, made, of_all(), samples=200), "external")
    parts = [table[table["split"].eq("external")] for table in made.values()]
    y = parts[0]["label"].eq("melanoma")
    mean = np.mean([part["p_melanoma"] for part in parts], axis=0)
    alone = [sk.roc_auc_score(y, part["p_melanoma"]) for part in parts]
    assert {*told["cohort"]} == {"elsewhere"}
    assert told.loc["roc_auc", "mean"] == pytest.approx(sk.roc_auc_score(y, mean))
    assert told.loc["log_loss", "mean"] == pytest.approx(sk.log_loss(y, mean))
    assert told.loc["roc_auc", ["single", "min", "max"]].tolist() == pytest.approx(
        [np.mean(alone), min(alone), max(alone)]
    )
    shares = [table.loc[table["split"].eq("val"), "label"].eq("melanoma").mean() for table in made.values()]
    constant = sk.log_loss(y, np.full(len(y), np.mean(shares)))
    assert told.loc["log_loss_skill", "mean"] == pytest.approx(1 - sk.log_loss(y, mean) / constant)
    assert told.loc["roc_auc", "mean"] > max(alone)  # their errors have nothing in common
    assert told.loc["roc_auc", "low"] < told.loc["roc_auc", "mean"] < told.loc["roc_auc", "high"]


def test_a_cohort_that_lacks_classes_has_the_scores_that_are_defined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where melanomas, nevi and keratoses alone were collected."""
    made = draw("diagnosis", n=600)
    some = {
        name: table[table["split"].ne("external") | table["label"].isin(["mel", "nv", "bkl"])]
        for name, table in made.items()
    }
    found = pool(monkeypatch, some, of_all("diagnosis"), samples=50)
    told = by_metric(found, "external")
    assert told.loc[["balanced_accuracy", "roc_auc"], ["mean", "low", "single"]].isna().all(axis=None)
    assert told.loc[["melanoma_roc_auc", "log_loss", "brier_skill"], ["mean", "low", "single"]].notna().all(axis=None)
    show.pooled(found.scores, "test")
    assert "nan" not in capsys.readouterr().out


def test_the_interval_elsewhere_holds_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 cohorts drawn freely, about 95 hold in their interval what these networks reach on 50,000 lesions."""
    names = CLASSES["melanoma"]
    rng = np.random.default_rng(5)
    tilt = rng.normal(0, 0.6, (K, 2))  # each network's own errors: of what it sees in one and the other picture feature

    def cohort(n: int) -> Tables:
        melanoma = rng.random(n) < 0.25
        seen = rng.normal(size=(n, 2)) + melanoma[:, None] * np.array([1.2, 0.0])
        table = pd.DataFrame({"image_id": np.arange(n), "lesion_id": np.arange(n), "group_id": np.arange(n)})
        table = table.assign(label=np.where(melanoma, *names[::-1]), split="external", cohort="elsewhere")
        p = [1 / (1 + np.exp(1.8 - seen @ (np.array([1.2, 0.0]) + tilt[k]))) for k in range(K)]
        val = pd.DataFrame({"split": "val", "label": [*names, *names, names[0]]})
        return {k: pd.concat([table.assign(p_non_melanoma=1 - p[k], p_melanoma=p[k]), val]) for k in range(K)}

    def told(n: int, samples: int) -> pd.DataFrame:
        setting = as_one.Setting("melanoma", samples, patients=False, rule="balanced")
        return pd.DataFrame(folds.abroad(cohort(n), setting)).set_index("metric")

    truth = told(50_000, 0)["mean"]
    drawn = [told(240, 100) for _ in range(100)]
    for metric in ("roc_auc", "log_loss", "brier_skill"):
        held = np.mean([each.loc[metric, "low"] <= truth[metric] <= each.loc[metric, "high"] for each in drawn])
        assert held >= 0.89, metric
        assert np.mean([each.loc[metric, "mean"] for each in drawn]) == pytest.approx(truth[metric], abs=0.02)


def test_folds_that_lack_are_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that failed, one that waits, one that is sealed, one that no cache has, and one that was never asked for."""
    of = {"split.folds": 7.0}
    found = [experiment("f0", 0, **of), experiment("f1", 1, **of), experiment("f2", 2, **of)]
    found += [experiment("broke", 3, "Failed", **of), experiment("again", 3, "Queued", **of)]
    found += [experiment("bad", 4, "Failed", **of), experiment("shut", 5, "Success", **of, **{"evaluate.test": "auto"})]
    found += [experiment("other", 6, **of, **{"train.epochs": 9.0})]
    made = {name: table for name, table in draw().items() if name != "f2"}
    told = pool(monkeypatch, made, found)
    kinds = "2 (not in DVC's cache), 3 (queued), 4 (failed), 5 (sealed), 6 (not run)"
    assert {*told.scores["without"]} == {kinds}
    assert {*told.scores["n"]} == {2}
    assert by_metric(told, "folds").loc["roc_auc", "images"] == 240
    show.pooled(told.scores, "test")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "2 of 7 folds, without" in shown
    assert pool(monkeypatch, {}, found).scores.empty


def test_folds_of_two_seeds_are_two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = draw(), {f"{name}b": table for name, table in draw(seed=1).items()}
    found = [*of_all(), *(experiment(f"f{k}b", k, seed=7.0) for k in (0, 1))]
    told = by_metric(pool(monkeypatch, {**one, **two}, found), "folds").loc["roc_auc"].set_index("changed")
    assert told["n"].to_dict() == {"evaluate.test=open seed=42": 3, "evaluate.test=open seed=7": 2}
    assert told["without"].tolist() == ["", "2 (not run)"]
    mixed = [experiment(f"f{k}", k, seed=float(k)) for k in range(K)]  # a seed a fold is still one model
    assert {*pool(monkeypatch, one, mixed).scores["n"]} == {3}


def test_what_is_no_cross_validation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image or lesion in two folds, folds of two kinds, and other external images: a sentence each, and no score."""
    made = draw()
    again = {**made, "f1": pd.concat([made["f1"], made["f0"][made["f0"]["split"].eq("test")].head(1)])}
    found = pool(monkeypatch, again, of_all())
    assert found.scores.empty
    assert (
        "image I0000 stands in test of folds 0 and 1; only folds of one split.folds, one split.seed" in found.refused[0]
    )
    other = made["f1"].assign(group_id=made["f1"]["group_id"].replace({"IL0001": "IL0000"}))
    assert (
        "lesion IL0000 stands in test of folds 0 and 1" in pool(monkeypatch, {**made, "f1": other}, of_all()).refused[0]
    )
    leaky = [{**each, "summary": {**each["summary"], "leaky": True}} for each in of_all()]
    assert not pool(monkeypatch, {**made, "f1": other}, leaky).refused
    kinds = [*of_all(), *(experiment(f"t{k}", k, **{"split.folds": 10.0}) for k in (5, 6))]
    told = pool(monkeypatch, made, kinds, over=("split.fold", "split.folds"))
    assert "split.folds is 3 and 10" in told.refused[0]
    less = {**made, "f2": made["f2"].iloc[:-1]}
    assert "not scored on the same external images" in pool(monkeypatch, less, of_all()).refused[0]


def test_one_fold_is_no_cross_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool(monkeypatch, draw(), of_all()[:1]).scores.empty
    assert pool(monkeypatch, draw(), of_all(), over=("seed",)).scores.empty


def test_patients_are_drawn_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have lesions of several classes; lesions are then counted by their own id."""
    made = draw()
    patient = {f"IL{i:04d}": f"P{i // 6}" for i in range(180)}
    made = {name: table.assign(group_id=table["group_id"].replace(patient)) for name, table in made.items()}
    leaky = [{**each, "summary": {**each["summary"], "leaky": True}} for each in of_all()]
    of_lesions, of_patients = (
        by_metric(pool(monkeypatch, made, leaky, samples=100, patients=patients), "folds") for patients in (False, True)
    )
    assert of_patients.loc["roc_auc", "lesions"] == 180
    of_images = [name for name in as_one.METRICS["melanoma"] if not name.startswith("by_lesion")]
    assert (of_patients.loc[of_images, "mean"] == of_lesions.loc[of_images, "mean"]).all()
    assert of_patients.loc["log_loss", "low"] != of_lesions.loc["log_loss", "low"]


def test_the_ensemble_of_backbones_is_pooled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its predictions are not kept: in each fold they are made from those of its backbones, calibrated on val."""
    one, two = draw(), {name: table.assign(p_melanoma=1 - table["p_non_melanoma"]) for name, table in draw().items()}
    rng = np.random.default_rng(3)
    two = {name: predict(rng, table, "melanoma") for name, table in two.items()}
    made = {
        f"{name} {tables.predictions_path('melanoma', b)}": each[name]
        for b, each in zip("ab", (one, two), strict=True)
        for name in one
    }
    found = of_all()
    for each in found:
        each["summary"] = scores(0.6, ("a", "b", ENSEMBLE))
    told = pool(monkeypatch, made, found).predictions["melanoma"]
    wanted, *_ = compare.ensemble({"a": one["f1"], "b": two["f1"]}, "melanoma")
    own = told[told["backbone"].eq(ENSEMBLE) & told["fold"].eq(1)].reset_index(drop=True)
    assert own["p_melanoma"].tolist() == wanted.loc[wanted["split"].eq("test"), "p_melanoma"].tolist()


def test_decisions_by_cost_are_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix is the experiment's."""
    made = draw()
    monkeypatch.setattr(tables, "read_text", lambda *_: "evaluate: {cost: {melanoma: [[0, 1], [9, 0]]}}")
    told = by_metric(pool(monkeypatch, made, of_all(**{"evaluate.decision": "cost"})), "folds")
    every = together(made, "test")
    recall = sk.recall_score(every["label"].eq("melanoma"), every["p_melanoma"] > 0.1)
    assert told.loc["recall", "mean"] == pytest.approx(recall)


def test_the_printed_tables_say_what_their_intervals_leave_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = pool(monkeypatch, draw(), of_all(), samples=100)
    show.pooled(found.scores, "test")
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "melanoma on test: out-of-fold predictions, pooled [95 % interval over lesions]" in told
    assert "3 of 3 folds" in told
    assert "360 images, 180 lesions" in told
    assert "melanoma on elsewhere: mean of the folds' calibrated probabilities" in told
    assert "alone 0." in told
    assert "which share training images. They leave out what another seed" in told
    show.pooled(pool(monkeypatch, draw(), []).scores, "test")
    assert capsys.readouterr().out == ""


def test_the_same_settings_on_two_commits_are_two_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What changed is told from the first commit, so without its name the second would stand in the first's place."""
    one, two = draw(), {f"{name}b": table for name, table in draw(seed=1).items()}
    other = row(None, "0123abc", **{"split.folds": float(K)})
    found = [*of_all(), other, *(experiment(f"f{k}b", k) for k in range(K))]
    pooled = pool(monkeypatch, {**one, **two}, found)
    auc = by_metric(pooled, "folds").loc["roc_auc"].set_index("commit")["mean"]
    assert {*auc.index} == {*pooled.predictions["melanoma"]["commit"]} == {"main", "0123abc"}
    show.pooled(pooled.scores, "test")
    told = capsys.readouterr().out
    assert all(f" {commit} " in told and f"{auc[commit]:.3f}" in told for commit in auc.index)
    gathered = replicates.gather(tables.tabulate([row(None, "main"), *found], NAMES, "test"), NAMES)
    show.gathered(gathered, "test")
    told = capsys.readouterr().out
    assert all(f" {commit} " in told for commit in auc.index)


def test_on_val_opened_folds_and_sealed_ones_are_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Val is never sealed. A fold that was opened later counts once, and its external images do not matter."""
    made = draw()
    shut = {name: table[table["split"].eq("val")] for name, table in made.items()}
    auto = {"evaluate.test": "auto"}
    found = [experiment(f"f{k}", k, **auto) for k in (0, 1)] + [experiment(f"o{k}", k) for k in (1, 2)]
    told = pool(monkeypatch, {**shut, "o1": made["f1"], "o2": made["f2"]}, found, "val")
    assert not told.refused
    row = by_metric(told, "folds").loc["roc_auc"]
    assert row[["n", "without", "images"]].tolist() == [3, "", 360]
    y = together(made, "val")
    assert row["mean"] == pytest.approx(sk.roc_auc_score(y["label"].eq("melanoma"), y["p_melanoma"]))
    found = [*found[:2], experiment("none", 2, "Success", **auto)]
    assert {*pool(monkeypatch, shut, found, "val").scores["without"]} == {"2 (without scores)"}


@pytest.mark.parametrize("text", [None, "evaluate: {cost: null}"])
def test_decisions_by_a_cost_that_cannot_be_read_are_refused(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """Where git and DVC's cache lack the experiment's params.yaml, and where it has no matrix."""
    monkeypatch.setattr(tables, "read_text", lambda *_: text)
    told = pool(monkeypatch, draw(), of_all(**{"evaluate.decision": "cost"}))
    assert told.scores.empty
    (why,) = told.refused
    assert why.endswith("evaluate.decision is cost, but no evaluate.cost.melanoma can be read in params.yaml of f0")
