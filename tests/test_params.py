"""params.yaml: every fault is named with what is allowed, and a stage reads what it declares."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mini_pipeline import dump_yaml, read_yaml

from lesionbench import params
from lesionbench.core.errors import UserError


@cache
def committed(root: Path) -> dict[str, Any]:
    return read_yaml(root / "params.yaml")


@pytest.fixture
def raw(root: Path) -> dict[str, Any]:
    return copy.deepcopy(committed(root))


def load(tmp_path: Path, raw: Any, *keys: str) -> params.Params:
    path = tmp_path / "params.yaml"
    dump_yaml(raw, path)
    return params.load(*keys, path=path)


def change(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    section, _, name = key.rpartition(".")
    (changed[section] if section else changed)[name] = value
    return changed


def fault(tmp_path: Path, raw: Any, *keys: str) -> str:
    with pytest.raises(UserError) as caught:
        load(tmp_path, raw, *keys)
    return str(caught.value)


def test_the_committed_file_loads(root: Path, raw: dict[str, Any]) -> None:
    config = params.load(*raw, path=root / "params.yaml")
    assert config.model_dump() == raw


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("evaluate.test", "closed", "'auto', 'open' or 'sealed'"),
        ("evaluate.decision", "argmax", "'balanced', 'likeliest' or 'cost'"),
        ("evaluate.cost", {"melanoma": [[0, 1]]}, "melanoma has 1 rows of 2; it must have 2 rows (true class) of 2"),
        ("evaluate.cost", {"diagnosis": [[0] * 6] * 7}, "7 numbers (class named): akiec, bcc, bkl, df, mel, nv, vasc"),
        ("evaluate.cost", {"melanoma": [[0, -1], [1, 0]]}, "greater than or equal to 0"),
        ("evaluate.cost", {"skin": [[0]]}, "'melanoma' or 'diagnosis'"),
        ("train.epochs", "three", "integer"),
        ("train.epochs", 0, "greater than or equal to 1"),
        ("train.epochs", True, "integer"),
        ("train.learning_rate", "1e-3", "write 0.001"),
        ("train.learning_rate", float("inf"), "finite"),
        ("train.batch_size", "16", "write 16"),
        ("dataset.max_lesions", "None", "write null"),
        ("dataset.mirror", "", "at least 1"),
        ("train.learning_rate", 0, "greater than 0"),
        ("train.devices", "many", "auto"),
        ("train.strategy", "dpp", "'auto', 'ddp' or 'ddp_find_unused_parameters_true'"),
        ("train.precision", "fp16", "'16-mixed'"),
        ("train.accelerator", "cuda", "'auto', 'cpu' or 'gpu'"),
        ("train.workers", -1, "greater than or equal to 0"),
        ("train.weights", "elsewhere.pth", "weights/"),
        ("train.monitor", "accuracy", "balanced_accuracy"),
        ("train.class_balance", "oversample", "focal"),
        ("train.warmup", 1.0, "less than 1"),
        ("train.metadata", "age", "write [age]"),
        ("train.metadata", ["height"], "height is refused, because the size of an image tells the camera"),
        ("train.metadata", ["age", "dx_type"], "dx_type is refused, because how a diagnosis was made follows from"),
        ("train.metadata", ["dataset"], "dataset is refused, because it tells the clinic and the camera"),
        ("train.metadata", ["images_per_lesion"], "because a lesion is photographed again because somebody suspects"),
        ("train.metadata", ["weight"], "weight is unknown; allowed: age, sex, localization"),
        ("split.scheme", "lesions", "lesion"),
        ("split.images", "first", "one_per_lesion"),
        ("split.by_patient", "yes", "bool"),
        ("split.val", 1.5, "less than 1"),
        ("split.val", 0, "greater than 0"),
        ("split.folds", 2, "greater than or equal to 3"),
        ("hair.kernel", 16, "odd"),
        ("hair.threshold", 255, "less than or equal to 254"),
        ("augment.brightness", [1.2, 0.8], "lower factor comes first"),
        ("augment.brightness", [1.2], "at least 2"),
        ("augment.fill_mode", "mirror", "reflect"),
        ("augment.horizontal_flip", "yes", "bool"),
        ("duplicates.threshold", 0, "greater than 0"),
        ("dataset.source", "isic", "ham10000"),
        ("dataset.max_lesions", 0, "greater than or equal to 1"),
        ("dataset.external", "isic2018_test", "list"),
        ("pixels.size", 8, "greater than or equal to 32"),
        ("pixels.size", 96.5, "integer"),
        ("pixels.size", None, "integer"),
        ("evaluate.sensitivities", [0.9, 1.0], "less than 1"),
        ("tasks", ["melanoma", "melanoma"], "listed twice"),
        ("tasks", [], "at least 1"),
        ("tasks", ["nevus"], "diagnosis"),
        ("tasks", "melanoma", "write [melanoma]"),
        ("backbones", ["resnet99"], "resnet50"),
        ("backbones", "resnet50", "list"),
        ("seed", -1, "greater than or equal to 0"),
        ("report", None, "section"),
    ],
)
def test_a_fault_names_its_key_and_what_is_allowed(
    tmp_path: Path, raw: dict[str, Any], key: str, value: Any, allowed: str
) -> None:
    text = fault(tmp_path, change(raw, key, value))
    assert key in text
    assert allowed in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split.val": 0.6, "split.test": 0.4}, "below 1"),
        ({"split.folds": 5, "split.fold": 5}, "0 to 4"),
        ({"split.folds": 5, "split.holdout_source": "rosendahl"}, "exclude each other"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    tmp_path: Path, raw: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    for key, value in changes.items():
        raw = change(raw, key, value)
    assert said in fault(tmp_path, raw)


def test_a_set_of_metadata_has_one_order(tmp_path: Path, raw: dict[str, Any]) -> None:
    for names in (["sex", "age"], ["age", "sex"]):
        assert load(tmp_path, change(raw, "train.metadata", names)).train.metadata == ["age", "sex"]


@pytest.mark.parametrize("key", ["train.epoch", "epochs", "hair.colour"])
def test_an_unknown_key_is_named(tmp_path: Path, raw: dict[str, Any], key: str) -> None:
    assert f"{key}: unknown key" in fault(tmp_path, change(raw, key, 1))


@pytest.mark.parametrize(("key", "meant"), [("train.epoch", "epochs"), ("evalute", "evaluate")])
def test_a_key_that_is_nearly_right_is_put_right(tmp_path: Path, raw: dict[str, Any], key: str, meant: str) -> None:
    assert f"{key}: unknown key; did you mean {meant}?" in fault(tmp_path, change(raw, key, 1))


def test_all_faults_are_told_at_once(tmp_path: Path, raw: dict[str, Any]) -> None:
    text = fault(tmp_path, change(change(change(raw, "train.epochs", 0), "seed", "a"), "colour", 1))
    assert all(key in text for key in ("train.epochs", "seed", "colour"))


def test_a_declared_key_must_be_there(tmp_path: Path, raw: dict[str, Any]) -> None:
    del raw["train"]["epochs"]
    assert "train.epochs: key is missing" in fault(tmp_path, raw, "train")
    assert "train.epochs: key is missing" in fault(tmp_path, raw, "seed", "train.epochs")
    del raw["train"]
    assert "train: key is missing" in fault(tmp_path, raw, "train.epochs")


def test_a_stage_runs_with_its_declared_keys_alone(tmp_path: Path) -> None:
    config = load(tmp_path, {"seed": 3, "train": {"monitor": "roc_auc"}}, "seed", "train.monitor")
    assert (config.seed, config.train.monitor) == (3, "roc_auc")
    with pytest.raises(AttributeError):
        _ = config.pixels
    with pytest.raises(AttributeError):
        _ = config.train.epochs


def test_a_partial_file_is_checked_all_the_same(tmp_path: Path) -> None:
    text = fault(tmp_path, {"seed": 3, "train": {"monitor": "loss"}}, "seed", "train.monitor")
    assert "train.monitor" in text
    assert "missing" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no sections"),
        (b"- a\n- b\n", "no sections"),
        (b"seed: 1\ntasks: [1", "line 3: did not find expected"),
        (b"seed: 1\ntitle: \xff\xfe", "line 2 has the byte 0xff"),
        (b"seed: 1\ntrain:\n\tepochs: 3\n", "line 3: found a tab"),
        (b"seed: 1\ntasks: []\nseed: 2\n", "line 3: the key seed stands here for the second time"),
        (b"train:\n  epochs: 3\n  epochs: 5\n", "line 3: the key epochs stands here for the second time"),
        (b"a: 2001-13-45\n", "not valid YAML"),
        (b"a: !!bool maybe\n", "not valid YAML"),
        (b"a: " + b"[" * 1000, "not valid YAML"),
        (b"? [a]\n: 1\n", "Keys should be strings"),
    ],
)
def test_a_file_that_is_no_params_file_is_named_with_the_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"params\.yaml") as caught:
        params.load(path=tmp_path / "params.yaml")
    assert said in str(caught.value)


def test_an_alias_may_merge_what_a_section_says_again(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n"
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        params.load(path=tmp_path / "params.yaml")
    assert "a: unknown key" in str(caught.value)
    assert "stands here" not in str(caught.value)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.dates(),
        st.binary(max_size=3),
        st.sampled_from([1, 0.5, "none", "auto", "1e-3", "folder", "melanoma", "resnet50", "timm:x", "10" * 30]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=100)
@given(data=st.data())
def test_any_tree_of_values_loads_as_it_is_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, root: Path, data: st.DataObject
) -> None:
    tree = copy.deepcopy(committed(root))
    for _ in range(data.draw(st.integers(1, 3))):
        sections = [part for part in tree.values() if isinstance(part, dict) and part]
        part = data.draw(st.sampled_from([tree, *sections, *sections])) if sections else tree
        key = data.draw(st.sampled_from([*part, *part, "new", 3, None]))
        if data.draw(st.integers(0, 3)) == 0:
            part.pop(key, None)
        else:
            part[key] = data.draw(VALUES)
    try:
        config = load(tmp_path_factory.mktemp("any"), tree, *params.Params.model_fields)
    except UserError:
        return
    assert config.model_dump() == tree
    assert config.split.val + config.split.test < 1


@settings(max_examples=150)
@given(content=st.binary(max_size=40) | st.text("abc:-[]{}&*!?|>'\"%@`#, \t\n<=.0~", max_size=40).map(str.encode))
def test_any_file_is_refused_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"params\.yaml"):
        params.load("seed", path=path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        params.load(path=tmp_path / "params.yaml")


@pytest.mark.parametrize(("scheme", "leaky"), [("lesion", False), ("image", True)])
def test_a_split_by_image_leaks(tmp_path: Path, raw: dict[str, Any], scheme: str, leaky: bool) -> None:
    assert load(tmp_path, change(raw, "split.scheme", scheme), "split.scheme").leaky is leaky


def test_the_rule_cost_needs_a_matrix_for_each_task(tmp_path: Path, raw: dict[str, Any]) -> None:
    """Told before anything is trained, with the tasks that lack one; a matrix without the rule is legal."""
    costs = {"melanoma": [[0, 1], [20, 0]], "diagnosis": [[0.5] * 7] * 7}
    asked = change(raw, "evaluate.decision", "cost")
    assert "no matrix for melanoma and diagnosis" in fault(tmp_path, asked, *raw)
    partly = change(asked, "evaluate.cost", {"melanoma": costs["melanoma"]})
    assert "no matrix for diagnosis" in fault(tmp_path, partly, *raw)
    assert load(tmp_path, change(partly, "tasks", ["melanoma"]), *raw).evaluate.decision == "cost"
    assert load(tmp_path, change(asked, "evaluate.cost", costs), *raw).evaluate.cost == costs
    assert load(tmp_path, change(raw, "evaluate.cost", costs), *raw).evaluate.decision == "balanced"
    alone = {name: asked[name] for name in ("seed", "evaluate")}
    assert load(tmp_path, alone, "seed", "evaluate").evaluate.decision == "cost"  # tasks are not declared there


def test_a_backbone_may_have_settings_of_its_own(root: Path) -> None:
    train = params.load("train", path=root / "params.yaml").train
    overrides = {"resnet50": {"learning_rate": 0.001, "epochs": 9}}
    train = params.Train.model_validate({**train.model_dump(), "overrides": overrides})
    own, other = train.of("resnet50"), train.of("inception_v3")
    assert (own.learning_rate, own.epochs, own.overrides) == (0.001, 9, {})
    assert other == train.model_copy(update={"overrides": {}})


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"resnet50": {"learning_rat": 0.1}}, "resnet50.learning_rat: unknown key; did you mean learning_rate?"),
        ({"resnet50": {"epochs": 0}}, "resnet50.epochs: found 0: should be greater than or equal to 1"),
        ({"resnet51": {"epochs": 1}}, "resnet50, inception_v3"),
        ({"resnet50": {"metadata": ["source"]}}, "resnet50.metadata: found ['source']: source is refused, because"),
        ({"resnet50": {"accelerator": "cpu"}}, "resnet50.accelerator: this key holds for all backbones alike"),
    ],
)
def test_faults_of_a_backbone_s_own_settings_are_told(
    root: Path, tmp_path: Path, overrides: dict[str, Any], says: str
) -> None:
    config = read_yaml(root / "params.yaml")
    config["train"]["overrides"] = overrides
    dump_yaml(config, tmp_path / "params.yaml")
    with pytest.raises(UserError) as told:
        params.load(path=tmp_path / "params.yaml")
    assert "overrides" in str(told.value)
    assert says in str(told.value)
