"""Each experiment against the best: intervals of the difference, and nothing said that they do not show."""

import numpy as np
import pandas as pd
import pytest
from drawn_experiments import PARAMETERS, SECOND, row, rows, scores
from scores import draw_predictions
from sklearn import metrics as sk

from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import predictions
from lesionbench.experiments import against, show, tables

TWO = CLASSES["melanoma"]


def overview(found: list[dict], samples: int = 0) -> pd.DataFrame:
    return against.overview(tables.tabulate(found, PARAMETERS, "val"), PARAMETERS, "val", samples)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """No experiment's predictions are in DVC's cache, unless a test puts them there."""
    monkeypatch.setattr(against, "read_predictions", lambda *_: None)


def test_each_experiment_has_a_row_with_what_it_changed() -> None:
    """Experiments and backbones stand by their score; a workspace that repeats a commit is left out."""
    table = overview(rows())
    assert list(table["experiment"].unique()) == ["longer", "other-seed", "main"]
    assert dict(zip(table["experiment"], table["changed"], strict=True)) == {
        "longer": "train.epochs=10",
        "other-seed": "seed=1",
        "main": "",
    }
    assert set(table["backbone"]) == {"resnet50", SECOND}
    assert table["roc_auc"].is_monotonic_decreasing
    assert table["says"].tolist()[0] == against.BEST


def test_a_changed_workspace_is_told() -> None:
    """A workspace that no commit repeats has its row."""
    table = overview([row(None, "workspace", scores(0.9), **{"train.epochs": 7.0}), *rows()[1:]])
    assert table.iloc[0][["experiment", "changed"]].tolist() == ["workspace", "train.epochs=7"]


def test_without_predictions_intervals_must_lie_apart() -> None:
    """Where predictions are in no cache, only scores whose own intervals lie apart differ."""
    found = [row(None, "main", scores(0.5, ("resnet50",)))]
    found += [row(name, name, scores(value, ("resnet50",)), seed=42.0, **{"train.epochs": value * 100})
              for name, value in (("near", 0.45), ("far", 0.3))]  # fmt: skip
    table = overview(found).set_index("experiment")
    assert table["says"].to_dict() == {"main": against.BEST, "near": against.SAME, "far": against.ONE_SEED}
    assert table.loc["near", ["behind", "behind_low", "behind_high"]].tolist() == pytest.approx([-0.05, -0.15, 0.05])


def seeded(values: dict[str, list[float]], width: float = 1e-6) -> list[dict]:
    """The rows of a commit, and of settings by name with a score a seed; intervals are of `width` either way."""
    found = [row(None, "main", state=None)]
    for epochs, (name, each) in enumerate(values.items(), 1):
        for seed, value in enumerate(each):
            made = scores(value, ("resnet50",))
            made["melanoma"]["resnet50"]["val_roc_auc_ci"] = [value - width, value + width]
            found.append(row(f"{name}{seed}", f"{name}{seed}", made, seed=float(seed), **{"train.epochs": epochs}))
    return found


def test_two_seeds_say_nothing_of_seeds() -> None:
    """However far two settings lie apart: with two seeds on either side, another seed may differ by as much."""
    three, two = [0.90, 0.91, 0.92], [0.50, 0.51]
    assert set(overview(seeded({"a": three, "b": two}))["says"]) == {against.BEST, against.ONE_SEED}
    assert set(overview(seeded({"a": [0.9, 0.91], "b": two}))["says"]) == {against.BEST, against.ONE_SEED}
    table = overview(seeded({"a": three, "b": [0.5, 0.51, 0.53]})).set_index("experiment")
    assert table.loc[["b0", "b1", "b2"], "says"].eq(against.SEEDS).all()
    assert table.loc[["a0", "a1"], "says"].eq(against.ONE_SEED).all()  # of the best one's own seeds
    assert table.loc["b0", ["seeds", "seeds_low", "seeds_high"]].tolist() == pytest.approx(
        [-0.396667, -0.411009, -0.382324], abs=1e-5
    )


def test_means_that_turn_the_difference_round_say_nothing() -> None:
    """The best row may be the lucky seed of the worse setting."""
    one, other = against.Difference(-0.02, -0.03, -0.01, 0.001), against.Difference(0.02, 0.01, 0.03, 0.001)
    assert against.say(one, other) == against.ONE_SEED
    assert against.say(one, one) == against.SEEDS


@pytest.mark.parametrize(("settings", "seeds"), [(2, 3), (4, 3), (6, 5)])
@pytest.mark.parametrize("shared", [0.0, 0.02])
def test_equal_trainings_seldom_are_said_to_differ(settings: int, seeds: int, shared: float) -> None:
    """Where nothing but the seed varies, few tables say SEEDS of any row, although the best of all rows is picked.

    `shared` is what a seed does to all settings alike. Each lesion-level interval excludes 0 here.
    """
    rng, said = np.random.default_rng(0), 0
    for _ in range(200):
        values = 0.8 + rng.normal(0, 0.02, (settings, seeds)) + rng.normal(0, shared, seeds)
        rows = pd.DataFrame(
            [("main", "resnet50", str(k), s, values[k, s]) for k in range(settings) for s in range(seeds)],
            columns=[*against.SETTING, "seed", "roc_auc"],
        ).sort_values("roc_auc", ascending=False, ignore_index=True)
        found = against.by_seed(rows, "roc_auc")
        assert len(found) == (settings - 1) * seeds
        behind = {i: against.Difference(rows["roc_auc"][i] - rows["roc_auc"][0], -1, -1e-9, 0.0) for i in found}
        said += any(against.say(behind[i], found[i]) == against.SEEDS for i in found)
    assert said <= 0.05 * 200


def test_seeds_are_paired_where_both_have_them_and_counted_once() -> None:
    """A gain of 0.01 on seeds 0.1 apart is seen seed by seed; a second run of a seed is no second seed."""
    base = np.array([0.6, 0.7, 0.8])
    found = seeded({"a": list(base + np.array([0.009, 0.010, 0.011])), "b": list(base)})
    table = overview(found).set_index("experiment")
    assert table.loc["b0", ["seeds", "seeds_low", "seeds_high"]].tolist() == pytest.approx(
        [-0.01, -0.012484, -0.007516], abs=1e-5
    )
    again = seeded({"a": [0.9, 0.91], "b": list(base)})
    again.append({**again[1], "Experiment": "again", "rev": "again", "tasks": "['melanoma', 'diagnosis']"})
    assert overview(again)["seeds"].isna().all()


def test_p_is_held_for_all_pairs() -> None:
    """One difference of p 0.02 is told; of five equal rows it is not, as the best was picked among ten pairs."""
    told = against.Difference(-0.1, -0.18, -0.02, 0.02)
    assert against.hold({1: told}, 2)[1].p == 0.02
    held = against.hold({i: told._replace(p=0.02 * i) for i in range(1, 5)}, 5)
    assert {i: each.p for i, each in held.items()} == pytest.approx({1: 0.2, 2: 0.36, 3: 0.48, 4: 0.56})
    assert against.say(told) == against.ONE_SEED
    assert against.say(held[1]) == against.SAME
    assert against.hold({1: told._replace(p=None)}, 2)[1].p is None


def test_val_chooses_when_test_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The order and the best are val's, also where another row has the highest score on test."""
    found = [row(None, "main", scores(0.8, ("resnet50",)))]
    found += [row("lucky", "l", scores(0.7, ("resnet50",)), **{"train.epochs": 9.0})]
    found[1]["summary"]["melanoma"]["resnet50"] |= {"roc_auc": 0.95}
    table = against.overview(tables.tabulate(found, PARAMETERS, "test"), PARAMETERS, "test", 0)
    assert table["experiment"].tolist() == ["main", "lucky"]
    assert table["val"].tolist() == pytest.approx([0.8, 0.7])
    assert table["says"].tolist() == [against.BEST, against.SAME]
    assert table["behind"].tolist() == pytest.approx([0.0, 0.55])
    show.overview(table, "test")
    told = capsys.readouterr().out
    assert "the first was chosen on val by its roc auc" in " ".join(told.split())
    assert "roc auc on val" in told
    assert "highest" not in told


def test_other_images_are_not_compared() -> None:
    """Scores on another split's images, or of a leaky split, are not set against the best."""
    more = [*rows()[:2], row("fold", "f", scores(0.2), **{"split.fold": 1.0})]
    more += [row("leak", "l", scores(0.95, leaky=True), **{"split.fold": 2.0})]
    table = overview(more).set_index(["experiment", "backbone"])
    assert table.loc[("main", SECOND), "says"] == against.BEST
    assert table.loc[("fold", "resnet50"), "says"] == against.OTHER
    assert table.loc[("leak", SECOND), "says"] == against.OTHER
    assert np.isnan(table.loc[("fold", "resnet50"), "behind"])


def test_predictions_of_both_give_a_paired_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """With predictions in the cache the interval is of the same lesions; with other images there is none."""

    def predicted(experiment: str, *_: str) -> pd.DataFrame:
        table = draw_predictions({"main": 0, "near": 1}.get(experiment, 2), TWO)
        table = table.assign(called=predictions.probabilities(table, TWO).argmax(axis=1))
        return table if experiment != "other" else table.assign(image_id=table["image_id"] + "x")

    monkeypatch.setattr(against, "read_predictions", predicted)
    found = [row(None, "main", scores(0.5, ("resnet50",)))]
    found += [
        row(n, n, scores(v, ("resnet50",)), **{"train.epochs": 100 * v}) for n, v in (("near", 0.4), ("other", 0.3))
    ]
    table = overview(found, samples=200).set_index("experiment")
    value, low, high = table.loc["near", ["behind", "behind_low", "behind_high"]]
    assert -0.2 < low < value < high < 0.2
    of_pair = sk.roc_auc_score(predicted("near")["label"].eq("melanoma"), predicted("near")["p_melanoma"])
    of_pair -= sk.roc_auc_score(predicted("main")["label"].eq("melanoma"), predicted("main")["p_melanoma"])
    assert value == pytest.approx(of_pair)  # and not -0.1, as the summaries have it
    assert table.loc["other", "says"] == against.OTHER


@pytest.mark.parametrize(("source", "free"), [("", False), ("None", False), ("vidir", True)])
def test_lesions_of_a_held_out_source_are_drawn_freely(
    monkeypatch: pytest.MonkeyPatch, source: str, free: bool
) -> None:
    """As in pipeline/compare.py, so that both tell the same interval."""
    seen = []

    def differences(*_: object, free: bool, **__: object) -> dict:
        seen.append(free)
        return {"a - b": {"roc_auc": -0.1}}

    monkeypatch.setattr(against.compare, "paired_differences", differences)
    each = pd.Series({"task": "melanoma", "roc_auc": 0.5, "split.holdout_source": source})
    table = draw_predictions(0, TWO)  # of test
    assert against.difference(each, each, table, table, 10) == against.Difference(-0.1)
    assert against.difference(each, each, table.assign(split="val"), table.assign(split="val"), 10)
    assert seen == [free, False]
    patients = pd.concat([each, pd.Series({"patients": True})])
    assert against.difference(patients, each, table.assign(split="val"), table.assign(split="val"), 10)
    assert seen[-1]  # patients may have lesions of several classes


@pytest.mark.parametrize(
    ("low", "high", "p", "says"),
    [
        (-0.03, -0.01, 0.001, against.ONE_SEED),
        (-0.03, -0.01, 0.06, against.SAME),
        (-0.03, -0.01, None, against.SAME),
        (-0.03, 0.01, 0.001, against.SAME),
        (None, None, None, against.SAME),
    ],
)
def test_nothing_is_said_that_is_not_shown(low: float | None, high: float | None, p: float | None, says: str) -> None:
    """A difference is told where its interval excludes 0 and its p, held for all pairs, is small."""
    assert against.say(against.Difference(-0.02, low, high, p)) == says
    assert against.say(None) == against.OTHER
