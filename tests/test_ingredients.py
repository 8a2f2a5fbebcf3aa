"""The table of ingredients: differences of trainings whose true difference is known, and a rival without an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks import ingredients_table
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.networks.coding import REGIONS

MEL = DIAGNOSES.index("mel")


def drawn(seed: int, lesions: int, skills: tuple[float, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of two trainings that see the same lesions, two images each, and are alike in half of their noise.

    Images of a lesion share most of their noise, so that images that are taken as independent give too short intervals.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(DIAGNOSES)), np.array([1, 1, 2, 1, 3, 5, 1]) * lesions // 14)
    table = pd.DataFrame({"group_id": np.repeat(np.arange(len(labels)), 2), "label": np.repeat(labels, 2)})
    of_both = rng.normal(size=(len(labels), len(DIAGNOSES)))
    found = []
    for skill in skills:
        of_lesion = np.repeat(of_both + rng.normal(size=of_both.shape), 2, axis=0)
        noise = 0.5 * of_lesion + 0.2 * rng.normal(size=of_lesion.shape)
        p = softmax(skill * np.eye(len(DIAGNOSES))[table["label"]] + noise, axis=1)
        columns = {f"p_{name}": p[:, c] for c, name in enumerate(DIAGNOSES)}
        found.append(table.assign(label=np.array(DIAGNOSES)[table["label"]], called=p.argmax(axis=1), **columns))
    return found[0], found[1]


def scores(table: pd.DataFrame) -> dict[str, float]:
    p = table[[f"p_{name}" for name in DIAGNOSES]].to_numpy()
    auc = roc_auc_score(table["label"].eq("mel"), p[:, MEL])
    return {"melanoma_roc_auc": auc, "log_loss": log_loss(table["label"], p)}


def test_a_known_difference_lies_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """In about 95 of 100 drawn sets of lesions, by intervals as wide as differences scatter; by image too narrow."""
    monkeypatch.setattr(ingredients_table, "SAMPLES", 80)
    skills, names = (0.8, 1.0), ("melanoma_roc_auc", "log_loss")
    base, own = map(scores, drawn(0, 7_000, skills))
    truth = {name: own[name] - base[name] for name in names}
    assert truth["melanoma_roc_auc"] > 0.02
    assert truth["log_loss"] < -0.05
    rows, by_image = [], []
    for seed in range(1, 51):
        one, other = drawn(seed, 140, skills)
        rows += ingredients_table.measure([one], [other], False, names)
        apart = {"group_id": np.arange(len(one))}
        by_image += ingredients_table.measure([one.assign(**apart)], [other.assign(**apart)], False, names)
    found, narrow = pd.DataFrame(rows), pd.DataFrame(by_image)
    known = found["metric"].map(truth)
    assert ((found["low"] < known) & (known < found["high"])).mean() >= 0.9
    for name in names:
        of = found[found["metric"].eq(name)]
        width, scatter = (of["high"] - of["low"]).mean(), of["difference"].std()
        assert of["difference"].mean() == pytest.approx(truth[name], abs=3 * scatter / np.sqrt(50))
        assert 0.8 < width / (2 * 1.96 * scatter) < 1.3
        alone = narrow[narrow["metric"].eq(name)]
        assert (alone["high"] - alone["low"]).mean() < 0.85 * width


def test_a_difference_is_the_mean_over_the_seeds() -> None:
    """It is own minus base, by seed and in the mean; the score of the base stands beside it."""
    pairs = [drawn(seed, 140, (0.5, 1.5)) for seed in (1, 2)]
    base, own = ([pair[i] for pair in pairs] for i in (0, 1))
    row = ingredients_table.measure(base, own, False, ("melanoma_roc_auc",))[0]
    by_seed = [scores(b)["melanoma_roc_auc"] - scores(a)["melanoma_roc_auc"] for a, b in pairs]
    assert row["difference"] == pytest.approx(np.mean(by_seed))
    assert row["base"] == pytest.approx(np.mean([scores(a)["melanoma_roc_auc"] for a in base]))
    assert [float(each) for each in row["by_seed"].split()] == pytest.approx(by_seed, abs=5e-5)
    assert row["low"] > 0


def split_of(seed: int, n: int = 1400) -> pd.DataFrame:
    """Metadata of which age alone tells a melanoma: 70 years on average, 50 of the others."""
    rng = np.random.default_rng(seed)
    dx = np.array(DIAGNOSES)[np.arange(n) % len(DIAGNOSES)]
    part = np.array(["train", "train", "val", "test", "external"])[np.arange(n) // len(DIAGNOSES) % 5]
    table = pd.DataFrame({"image_id": [f"I{i}" for i in range(n)], "dx": dx, "split": part})
    return table.assign(
        lesion_id=table["image_id"],
        group_id=table["image_id"],
        cohort=np.where(part == "external", ingredients_table.COHORT, "own"),
        age=np.where(dx == "mel", 70, 50) + rng.normal(0, 10, n),
        sex=rng.choice(["female", "male"], n),
        localization=rng.choice([words[0] for words in REGIONS.values()], n),
    )


def test_the_rival_knows_what_age_tells_and_no_more() -> None:
    """Its AUC of melanoma is that of two normal distributions two deviations apart; shuffled ages leave it none."""
    split = split_of(1)
    found = ingredients_table.rival(split)
    assert list(found["image_id"]) == list(split.loc[split["split"].ne("train"), "image_id"])
    test = found[found["split"].eq("test")]
    assert scores(test)["melanoma_roc_auc"] == pytest.approx(0.921, abs=0.05)  # Phi(20 / (10 * sqrt 2))
    ages = np.random.default_rng(2).permutation(split["age"])
    blind = ingredients_table.rival(split.assign(age=ages))
    assert scores(blind[blind["split"].eq("test")])["melanoma_roc_auc"] == pytest.approx(0.5, abs=0.12)


def test_the_rival_is_fitted_to_training_images_alone() -> None:
    """With other diagnoses in val, test and external cohorts its logits stay; each column is of its class."""
    split = split_of(3)
    logits = [f"logit_{name}" for name in DIAGNOSES]
    scored = split["split"].ne("train")
    others = split.assign(dx=split["dx"].mask(scored, split["dx"].to_numpy()[::-1]))
    before, after = ingredients_table.rival(split), ingredients_table.rival(others)
    assert (before[logits] == after[logits]).all(axis=None)
    age = split[["age"]]
    model = LogisticRegression(max_iter=2000).fit(age[~scored], split["dx"][~scored])
    wanted = model.predict_log_proba(age[scored])[:, list(model.classes_).index("mel")]
    assert np.corrcoef(before["logit_mel"], wanted)[0, 1] > 0.95


def test_all_differences_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the base of the same seed, on each part; a training without its base, and hair elsewhere, have no row."""
    monkeypatch.setattr(ingredients_table, "SAMPLES", 20)
    split = split_of(4, 700)
    split.to_csv(tmp_path / "split-home.csv", index=False)
    rows = np.flatnonzero(split["split"].ne("train"))
    right = np.eye(len(DIAGNOSES))[[DIAGNOSES.index(dx) for dx in split["dx"].iloc[rows]]]
    skills = {("base", 1): 1.0, ("base", 2): 1.0, ("better", 1): 3.0, ("better", 7): 0.0, ("hair", 1): 1.0}
    for n, ((name, seed), skill) in enumerate(skills.items()):
        target = tmp_path / "out" / name / f"home-{seed}.npz"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez(target, rows=rows, logits=skill * right + np.random.default_rng(n).normal(size=right.shape))
    ingredients: dict[str, dict[str, Any]] = {"better": {}, "hair": {"hair.method": "blackhat"}, "not run": {}}
    table = ingredients_table.compare(tmp_path, "home", ingredients)
    luck = "another seed (2)"
    assert list(table["ingredient"].unique()) == [ingredients_table.NO_IMAGE, luck, "better", "hair"]
    assert (table["seeds"] == 1).all()
    assert set(table.loc[table["ingredient"].eq("better"), "part"]) == {"val", "test", ingredients_table.COHORT}
    assert set(table.loc[table["ingredient"].eq("hair"), "part"]) == {"val", "test"}
    assert set(table.loc[table["part"].eq(ingredients_table.COHORT), "metric"]) == set(ingredients_table.ELSEWHERE)
    auc = table[table["metric"].eq("melanoma_roc_auc")].set_index(["ingredient", "part"])
    assert auc.loc[("better", "test"), "low"] > 0
    assert auc.loc[(luck, "test"), "low"] < 0 < auc.loc[(luck, "test"), "high"]
