"""Scores of several networks as one model, against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from lesionbench.core.tasks import CLASSES, numbers
from lesionbench.evidence import compare, metrics
from lesionbench.experiments import as_one


def drawn(task: str, n: int = 600) -> pd.DataFrame:
    """Lesions of some two images each, two in a group."""
    rng = np.random.default_rng(3)
    lesion = np.sort(rng.integers(0, n // 2, n))
    names = CLASSES[task]
    label = np.array(names)[rng.integers(0, len(names), n // 2)][lesion]
    p = softmax(rng.normal(size=(n, len(names))) + (label[:, None] == np.array(names)), axis=1)
    ids = {"image_id": [f"I{i:04d}" for i in range(n)], "lesion_id": lesion, "group_id": lesion // 2}
    return pd.DataFrame({**ids, "label": label, **{f"p_{name}": p[:, c] for c, name in enumerate(names)}})


@pytest.mark.parametrize(("task", "melanoma"), [("melanoma", "melanoma"), ("diagnosis", "mel")])
@pytest.mark.parametrize(("patients", "of"), [(True, "lesion_id"), (False, "group_id")])
def test_melanoma_by_lesion_is_of_the_geometric_mean_of_its_images(
    task: str, melanoma: str, patients: bool, of: str
) -> None:
    """A group is a lesion, though under two ids. Where groups are patients, lesions count by their own id."""
    table = drawn(task)
    setting = as_one.Setting(task, 100, patients=patients, rule="likeliest")
    draws = compare.draw(table, CLASSES[task], 100, 0, free=True)
    told = as_one.score(table, np.full(len(CLASSES[task]), 1 / len(CLASSES[task])), draws, setting)
    columns = [f"p_{name}" for name in CLASSES[task]]
    logs = np.log(table[columns]).groupby(table[of]).mean()
    truth = table.groupby(of)["label"].first().eq(melanoma)
    p = softmax(logs.to_numpy(), axis=1)[:, columns.index(f"p_{melanoma}")]
    name = as_one.BY_LESION[task]
    assert told[name] == pytest.approx(sk.roc_auc_score(truth, p))
    assert told[f"{name}_ci"][0] < told[name] < told[f"{name}_ci"][1]
    assert told["melanoma_roc_auc"] == pytest.approx(
        sk.roc_auc_score(table["label"].eq(melanoma), table[f"p_{melanoma}"])
    )
    wanted = metrics.evaluate(
        table[columns].to_numpy(),
        numbers(table["label"], CLASSES[task]),
        table["group_id"].to_numpy(),
        CLASSES[task],
        100,
        0,
        free=True,
        lesions=table[of].to_numpy(),
    )["by_lesion"]
    assert told[f"{name}_ci"] == pytest.approx(wanted["melanoma_roc_auc_ci"])
    found = {each["metric"]: each for each in as_one.records(told, table, setting)}
    assert {*found} == {*as_one.METRICS[task]}
    assert found[name]["lesions"] == table[of].nunique()


@pytest.mark.parametrize("task", ["melanoma", "diagnosis"])
def test_a_constant_has_an_area_of_one_half(task: str) -> None:
    """By lesion too, though lesions have unlike numbers of images; and no skill."""
    table, names = drawn(task), CLASSES[task]
    share = table["label"].value_counts(normalize=True)
    table = table.assign(**{f"p_{name}": share[name] for name in names})
    setting = as_one.Setting(task, 20, patients=False, rule="balanced")
    draws = compare.draw(table, names, 20, 0, free=True)
    told = as_one.score(table, share[list(names)].to_numpy(), draws, setting)
    assert told["roc_auc"] == told["melanoma_roc_auc"] == told[as_one.BY_LESION[task]] == 0.5
    assert "melanoma_roc_auc_ci" not in told
    assert told["log_loss_skill"] == pytest.approx(0)
