"""The models of the JSON files: each file keeps its bytes, and what is wrong in one is named with its key."""

import copy
import fnmatch
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import drawn_results
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from lesionbench import params, results
from lesionbench.core import files
from lesionbench.core.errors import UserError
from lesionbench.core.tasks import CLASSES, DIAGNOSES
from lesionbench.evidence import compare, decisions, metrics
from lesionbench.evidence.intervals import Draws
from lesionbench.learn import augment

ROOT = Path(__file__).parents[1]
COMMITTED = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "metrics").rglob("*.json"))
POLICY = {
    "rotation": 20,
    "width_shift": 0.2,
    "height_shift": 0.2,
    "shear": 0.2,
    "zoom": 0.2,
    "horizontal_flip": True,
    "vertical_flip": False,
    "quarter_turns": False,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "cutout": 0,
    "brightness": [0.8, 1.2],
    "fill_mode": "nearest",
}


def kind_of(path: str) -> type[BaseModel]:
    """The one model whose pattern in FILES fits `path`."""
    (kind,) = [k for pattern, k in results.FILES.items() if fnmatch.fnmatchcase(path, re.sub("<.*?>", "*", pattern))]
    return kind


def committed(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", COMMITTED)
def test_a_committed_interval_has_a_width(path: str) -> None:
    """An interval without width says that nothing was varied; it is left out."""

    def intervals_in(found: Any) -> Iterator[Any]:
        for name, value in found.items():
            if name.endswith("_ci"):
                yield value
            elif isinstance(value, dict):
                yield from intervals_in(value)

    assert [(low, high) for low, high in intervals_in(committed(path)) if not low < high] == []


def assert_same_bytes(kind: type[BaseModel], found: Any, folder: Path) -> None:
    """A dictionary of today's library, through its model and back, is written as without one."""
    plain, typed, again = (folder / name for name in ("plain.json", "typed.json", "again.json"))
    files.write_json(plain, found)
    results.write(typed, kind.model_validate(found))
    results.write(again, results.read(kind, typed))
    assert typed.read_bytes() == plain.read_bytes() == again.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("path", COMMITTED)
def test_committed_files_keep_their_bytes(path: str, tmp_path: Path) -> None:
    """Writing what was read from a committed file gives the same bytes."""
    results.write(tmp_path / "again.json", results.read(kind_of(path), ROOT / path))
    assert (tmp_path / "again.json").read_bytes() == (ROOT / path).read_bytes()


def test_each_model_has_a_committed_file() -> None:
    """The test above has seen each model but Augmentation, whose file is not in git."""
    assert {kind_of(path) for path in COMMITTED} == {*results.FILES.values()} - {results.Augmentation}


@pytest.mark.parametrize("pattern", results.FILES)
def test_files_of_a_run_are_as_declared(ran: Path, pattern: str, tmp_path: Path) -> None:
    """What the stages write can be read, and says the same when it is written again."""
    paths = sorted((ran / "store").glob(re.sub("<.*?>", "*", pattern)))
    assert paths
    for path in paths:
        results.write(tmp_path / "again.json", results.read(results.FILES[pattern], path))
        assert files.read_json(tmp_path / "again.json") == files.read_json(path)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Probabilities, labels, groups and classes of a few images, of which classes may be missing."""
    classes, n = draw(st.sampled_from([*CLASSES.values()])), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    logits = rng.normal(size=(n, len(classes))) * draw(st.sampled_from([0, 1, 50]))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = rng.integers(0, draw(st.integers(1, len(classes))), n)
    return (p / p.sum(axis=1, keepdims=True)).round(8), labels, rng.integers(0, n, n), classes


@given(predictions(), st.sampled_from([0, 20]))
def test_scores_are_what_the_library_returns(folder: Path, drawn: Any, samples: int) -> None:
    """Whatever images are scored, the scores are valid, undefined ones and intervals included."""
    p, labels, groups, classes = drawn
    cost = np.ones((len(classes), len(classes))) if samples else None
    found = metrics.evaluate(p, labels, groups, classes, samples, seed=1, cost=cost, free=len(p) % 2 == 0)
    positive, draws = (labels == len(classes) - 1).astype(int), Draws.make(groups, labels, samples, 1)
    thresholds = decisions.operating_points(p[:, -1], positive, [0.9, 0.95])
    points = {k: decisions.at_threshold(p[:, -1], positive, t, draws) for k, t in thresholds.items()}
    assert_same_bytes(results.Scores, found, folder)
    assert_same_bytes(results.Scores, {**found, "operating_points": points}, folder)
    scores = results.Scores.model_validate(found)
    assert scores.values() == {name: found[name] for name in metrics.METRICS} | {"n": len(p)}
    assert results.METRICS == metrics.METRICS
    assert {name: scores.ci(name) for name in found if f"{name}_ci" in found} == {
        name.removesuffix("_ci"): interval for name, interval in found.items() if name.endswith("_ci")
    }


@given(predictions(), st.sampled_from([0, 20]))
def test_differences_are_what_the_library_returns(folder: Path, drawn: Any, samples: int) -> None:
    """The differences of two backbones are valid, whatever images they are compared on."""
    p, labels, groups, classes = drawn
    columns = {"label": np.array(classes)[labels], "group_id": groups, "called": p.argmax(axis=1)}
    tables = {
        name: pd.DataFrame({**columns, **{f"p_{c}": column for c, column in zip(classes, each.T, strict=True)}})
        for name, each in {"a": p, "b": np.full_like(p, 1 / len(classes))}.items()
    }
    for difference in compare.paired_differences(tables, classes, samples, seed=1).values():
        assert_same_bytes(results.Difference, difference, folder)


@given(
    st.fixed_dictionaries(
        {
            "rotation": st.sampled_from([0, 20, 0.5]),
            **dict.fromkeys(("horizontal_flip", "vertical_flip", "quarter_turns"), st.booleans()),
            **dict.fromkeys(("contrast", "saturation", "hue", "cutout"), st.sampled_from([0, 0.25])),
            "brightness": st.sampled_from([[1.0, 1.0], [0.8, 1.2], [1.5, 1.5]]),
            "fill_mode": st.sampled_from(["nearest", "wrap"]),
        }
    )
)
def test_augmentation_steps_survive_their_file(folder: Path, drawn: dict[str, Any]) -> None:
    """Steps that were written and read are the compiled ones, and transforms can be built of them."""
    steps = augment.compile_policy(params.Augment.model_validate({**POLICY, **drawn}))
    assert_same_bytes(results.Augmentation, steps, folder)
    read = results.read(results.Augmentation, folder / "typed.json").model_dump()
    assert read == steps
    assert len(augment.build(read)) == len(steps)


def test_a_whole_number_of_degrees_has_one_spelling(tmp_path: Path) -> None:
    """20 and 20.0 degrees are one policy, so that train_key takes them for one."""
    (affine, *_) = augment.compile_policy(params.Augment.model_validate(POLICY))
    for name, degrees in (("whole", 20), ("broken", 20.0)):
        results.write(tmp_path / name, results.Augmentation.model_validate([{**affine, "rotation": degrees}]))
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "broken").read_bytes()


def numbers_in(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from numbers_in(value, (*path, key))
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield path


@given(st.data(), st.sampled_from([float("nan"), float("inf"), -1e9, "0.5", True, [], {}]))
def test_a_wrong_number_is_named_wherever_it_is(folder: Path, data: st.DataObject, odd: Any) -> None:
    """NaN, infinity, a number out of range, a text or a list in a number's place is told with its key."""
    path = data.draw(st.sampled_from([each for each in COMMITTED if "train" not in each]))
    found = committed(path)
    *above, last = where = data.draw(st.sampled_from([*numbers_in(found)]))
    holder = found
    for key in above:
        holder = holder[key]
    holder[last] = odd
    # Differences of losses, skills and biases have no range, and intervals are only held to their order.
    endless = {"log_loss", "log_loss_skill", "brier_skill", "intercept", "slope"}
    unbounded = last in endless or "biases" in above or "summary" in path or isinstance(last, int)
    assume(odd != -1e9 or not unbounded)
    # A row of the summary holds numbers and intervals under one type: a wrong bound is told for both.
    assume("summary" not in path or not isinstance(last, int))
    (folder / "wrong.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UserError, match=r"wrong\.json is not as results\.\w+ says.* \(1 found\)") as caught:
        results.read(kind_of(path), folder / "wrong.json")
    assert f"  {'.'.join(map(str, where))}: found " in str(caught.value)


@cache
def evaluated() -> dict[str, Any]:
    """An evaluation of drawn predictions, with an interval wherever one can be."""
    rng = np.random.default_rng(0)
    p = rng.beta(2, 2, 80)
    labels = (rng.random(80) < p).astype(int)
    scores = metrics.evaluate(np.stack([1 - p, p], axis=1), labels, np.arange(80), CLASSES["melanoma"], 30, 1)
    found = {"val": scores, "test": scores, "external": {"clinic": scores}, "leaky": False, "decision": "balanced"}
    biases = {"non_melanoma": 0.5, "melanoma": -0.5}
    line = {"melanoma_intercept": 0.0, "melanoma_slope": 1.0}
    return found | {"temperature": 1.5, "biases": biases, **line, "train_key": "0123456789abcdef0123"}


def put(*where: Any, value: Any = None, drop: bool = False) -> dict[str, Any]:
    found: Any = json.loads(json.dumps(evaluated()))
    holder = found
    for key in where[:-1]:
        holder = holder[key]
    if drop:
        del holder[where[-1]]
    else:
        holder[where[-1]] = value
    return found


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (put("leaky", drop=True), "leaky: key is missing"),
        (put("test", drop=True), "test: key is missing"),
        (put("val", "accuracy", drop=True), "val.accuracy: key is missing"),
        (put("recal", value=1), "recal: unknown key"),
        (put("val", "kappa_ci", value=[0, 1]), "val.kappa_ci: unknown key"),
        (put("decision", value="best"), "decision: found 'best': Input should be 'balanced', 'likeliest' or 'cost'"),
        (put("biases", value={"melanoma": 0.1}), "allowed, in this order: non_melanoma melanoma, or akiec bcc"),
        (put("val", "decisions", "cost", value={}), "val.decisions.cost.accuracy: key is missing"),
        (put("val", "decisions", "likeliest", drop=True), "allowed, in this order: balanced likeliest cost"),
        (put("val", "melanoma", drop=True), "val.melanoma: key is missing"),
        (put("val", "ece_ci", value=[0, 1]), "val.ece_ci: unknown key"),
        (put("leaky", value=0), "leaky: found 0: Input should be a valid boolean"),
        (put("val", "n", value=28.0), "val.n: found 28.0: Input should be a valid integer"),
        (put("val", "n", value=0), "val.n: found 0: Input should be greater than or equal to 1"),
        (put("val", "accuracy", value=1.01), "val.accuracy: found 1.01: Input should be less than or equal to 1"),
        (put("val", "accuracy_ci", value=[0.9, 0.1]), "val.accuracy_ci: found [0.9, 0.1]: the lower bound comes first"),
        (put("val", "accuracy_ci", value=[0.9]), "val.accuracy_ci: found [0.9]: List should have at least 2 items"),
        (put("val", "accuracy_ci", value=None), "val.accuracy_ci: found None: what there is none of is left out"),
        (put("val", value=None), "val: found None: Input should be a valid dictionary"),
        (put("val", "per_class", value={}), "allowed, in this order: non_melanoma melanoma, or akiec bcc"),
        (put("train_key", value="k1"), "train_key: found 'k1': String should match pattern"),
        ([], "the file: found []: Input should be a valid dictionary"),
        (None, "the file: found None"),
    ],
)
def test_a_fault_is_told_with_key_and_what_is_allowed(found: Any, says: str, tmp_path: Path) -> None:
    """A file that is wrong is told in words, with its name, the key, what was found and what is allowed."""
    path = tmp_path / "resnet50.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        results.read(results.Evaluation, path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"leaky": tru', "\x00"])
def test_a_damaged_file_is_told_in_words(text: str, tmp_path: Path) -> None:
    """A file that is cut short or is no JSON is a UserError too."""
    (tmp_path / "cut.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"cut\.json is damaged"):
        results.read(results.Evaluation, tmp_path / "cut.json")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Two faults make one error, so that nobody mends a file key by key."""
    found = put("val", "accuracy", value=2.0) | {"temperature": "hot"}
    (tmp_path / "wrong.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)\(2 found\).*val\.accuracy.*temperature"):
        results.read(results.Evaluation, tmp_path / "wrong.json")


def test_scores_are_read_by_name() -> None:
    """A number, its interval and all numbers can be asked for; a name that doesn't exist is an error."""
    found = put("test", "precision", value=None)
    scores = results.Evaluation.model_validate(found).test
    assert scores is not None
    assert scores.roc_auc == scores.value("roc_auc") == found["test"]["roc_auc"]
    assert scores.roc_auc_ci == scores.ci("roc_auc") == found["test"]["roc_auc_ci"]
    assert scores.precision is scores.ci("precision") is None
    assert scores.per_class["melanoma"].ci("recall") == found["test"]["per_class"]["melanoma"]["recall_ci"]
    assert scores.melanoma.ci("slope") == found["test"]["melanoma"]["slope_ci"]
    for ask in (scores.value, scores.ci):
        with pytest.raises(KeyError):
            ask("kappa")


def test_numbers_leave_out_what_stands_beside_them() -> None:
    """Intervals and p-values are no scores, but mean_p is one; parts of an evaluation aren't either."""
    scores = results.Evaluation.model_validate(evaluated()).val
    assert tuple(scores.values()) == results.METRICS
    assert [*scores.melanoma.values()] == ["mean_p", "prevalence", "intercept", "slope", "ece", "roc_auc"]
    told = {"roc_auc": 0.1, "roc_auc_ci": [0.0, 0.2], "roc_auc_p": 0.04, "roc_auc_p_holm": 0.12}
    every = {name: None for name in ("balanced_accuracy", "average_precision", "recall", "log_loss")}
    difference = results.Difference.model_validate({**told, **every})
    assert difference.values() == {**every, "roc_auc": 0.1}
    assert difference.roc_auc_p_holm == 0.12


def test_an_ensemble_is_an_evaluation_without_a_training(tmp_path: Path) -> None:
    """It has val, test, external cohorts, calibration and rule; and melanoma from diagnosis has all parts."""
    ensemble = {name: value for name, value in evaluated().items() if name != "train_key"}
    parts = {name: ensemble[name] for name in ("val", "test", "external")}
    use = {"melanomas": 5, "others": 9, "points": {}, "net_benefit": {}}
    deployed = {"backbone": "a", "val": use, "test": use, "external": {}}
    refused = drawn_results.metrics()["compare/melanoma"]["refusal"]
    found = {"split": "test", "chosen": "a", "differences": {}, "deployment": deployed, "ensemble": ensemble}
    found |= {"from_diagnosis": {"a": parts}, "refusal": refused}
    assert_same_bytes(results.Comparison, {**found, "leaky": False}, tmp_path)
    sealed = {**ensemble, "test": None, "external": {}}
    assert_same_bytes(results.Comparison, {**found, "split": "val", "ensemble": sealed, "leaky": False}, tmp_path)


def test_a_sealed_test_is_null_and_stays_so(tmp_path: Path) -> None:
    """An evaluation whose test split is sealed says null, which isn't the same as saying nothing."""
    assert_same_bytes(results.Evaluation, put("test", value=None), tmp_path)


def test_a_summary_may_lack_a_task(tmp_path: Path) -> None:
    """params.yaml may name one task only; the other's table is absent then."""
    found = committed("metrics/summary.json")
    del found["diagnosis"]
    assert_same_bytes(results.Summary, found, tmp_path)
    found["melanoma"]["resnet50"]["kappa"] = 0.5
    with pytest.raises(ValidationError, match="kappa"):
        results.Summary.model_validate(found)


def test_a_split_without_candidates_was_not_searched(tmp_path: Path) -> None:
    """The audit counts candidates only where there are pairs, patients where some are known, all else always."""
    found = committed("metrics/split.json")
    without = copy.deepcopy(found)
    del without["audit"]["overlaps"]["candidate"]
    assert_same_bytes(results.Split, without, tmp_path)
    with_patients = {**found, "by_patient": True, "audit": copy.deepcopy(found["audit"])}
    counted = list(with_patients["audit"]["overlaps"].items())
    with_patients["audit"]["overlaps"] = dict([counted[0], ("patient", {"train-val": 1}), *counted[1:]])
    assert results.Split.model_validate(with_patients).lesion == "lesion_id"
    assert results.Split.model_validate(found).lesion == "group_id"
    del found["audit"]["overlaps"]["lesion"]
    with pytest.raises(ValidationError, match="allowed, in this order: lesion patient group"):
        results.Split.model_validate(found)


def test_keys_are_written_in_their_order(tmp_path: Path) -> None:
    """Whoever builds a model in another order writes the same file."""
    found = committed("metrics/hair.json")
    results.write(tmp_path / "turned.json", results.Hair.model_validate(dict(reversed(found.items()))))
    assert (tmp_path / "turned.json").read_bytes() == (ROOT / "metrics/hair.json").read_bytes()


def test_what_was_found_does_not_change() -> None:
    """A model refuses to be changed after its check."""
    hair = results.Hair.model_validate(committed("metrics/hair.json"))
    with pytest.raises(ValidationError, match="frozen"):
        hair.images = -1


def test_every_key_is_described() -> None:
    """The models are the documentation of the files: each key says what it means, each number its range."""
    kinds = [k for k in vars(results).values() if isinstance(k, type) and issubclass(k, results.Section)]
    fields = {f"{k.__name__}.{name}": field for k in kinds for name, field in k.model_fields.items()}
    assert len(fields) > 100
    assert [name for name, field in fields.items() if not field.description] == []
    numbers = {name: f for name, f in fields.items() if f.annotation in (int, float, float | None)}
    assert [name for name, f in numbers.items() if not re.search(r"\(.*\d.*\)|\(any\)", f.description or "")] == []
    assert all(k.__doc__ for k in kinds)


def test_choices_are_those_of_the_parameters() -> None:
    """Words that params.yaml allows are allowed in what is made from them."""

    def choices(model: type[BaseModel], name: str) -> set[Any]:
        return {*get_args(model.model_fields[name].annotation)}

    assert choices(results.Training, "monitor") == choices(params.Train, "monitor")
    assert choices(results.Evaluation, "decision") == choices(params.Evaluate, "decision") == {*decisions.RULES}
    assert choices(results.Affine, "fill_mode") == choices(params.Augment, "fill_mode")
    assert {*committed("metrics/index.json")["cohorts"]["phantom"]["images_by_dx"]} == {*DIAGNOSES}
