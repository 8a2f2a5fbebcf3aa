"""The types of params.yaml. They carry no defaults: DVC would not see one change."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lesionbench.errors import UserError, list_faults

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
AutoOrCount = Literal["auto"] | Count
Task = Literal["melanoma", "diagnosis"]
Backbone = Annotated[
    str, Field(pattern=r"^(resnet50|inception_v3|efficientnet_b4|efficientnet_lite0|timm:[A-Za-z0-9_.]+)$")
]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Dataset(Section):
    source: Literal["phantom", "ham10000", "folder"]
    mirror: str | None
    path: str
    external: list[str]
    max_lesions: Count | None
    phantom_lesions: Annotated[int, Field(ge=21)]


class Duplicates(Section):
    threshold: Annotated[float, Field(gt=0, le=1)]


class Split(Section):
    scheme: Literal["lesion", "image"]
    images: Literal["all", "one_per_lesion", "singletons"]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=3)] | None
    fold: Natural
    holdout_source: str | None

    @model_validator(mode="after")
    def _consistent(self) -> "Split":
        if self.val + self.test >= 1:
            raise ValueError(f"val + test is {self.val + self.test:g}; it must stay below 1, or nothing trains")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold is {self.fold}; with {self.folds} folds it must be 0 to {self.folds - 1}")
        if self.folds is not None and self.holdout_source is not None:
            raise ValueError("folds and holdout_source exclude each other: set one of them to null")
        return self


class Hair(Section):
    method: Literal["none", "blackhat"]
    kernel: Annotated[int, Field(ge=3, le=101, multiple_of=1)]
    threshold: Annotated[int, Field(ge=1, le=254)]
    min_length: Count
    min_elongation: Annotated[float, Field(ge=1)]
    inpaint_radius: Annotated[int, Field(ge=1, le=20)]

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a kernel has a middle pixel: use an odd number")
        return value


class Eda(Section):
    samples_per_class: Annotated[int, Field(ge=1, le=20)]


class Pixels(Section):
    size: Annotated[int, Field(ge=32, le=1024)]


class Augment(Section):
    rotation: Annotated[float, Field(ge=0, le=180)]
    width_shift: Share
    height_shift: Share
    shear: Annotated[float, Field(ge=0, lt=90)]
    zoom: Share
    horizontal_flip: bool
    brightness: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    fill_mode: Literal["nearest", "reflect", "constant", "wrap"]

    @field_validator("brightness")
    @classmethod
    def _ordered(cls, value: list[float]) -> list[float]:
        if value[0] > value[1]:
            raise ValueError("the lower factor comes first")
        return value


class Train(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Share
    label_smoothing: Share
    class_balance: Literal["none", "weights", "focal"]
    focal_gamma: Annotated[float, Field(ge=0)]
    monitor: Literal["average_precision", "roc_auc", "balanced_accuracy"]
    patience: Count
    weights: Annotated[str, Field(pattern=r"^(imagenet|none|weights/.+)$")]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: AutoOrCount
    num_nodes: Count
    strategy: str
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true"]
    workers: Literal["auto"] | Natural


class Evaluate(Section):
    bootstrap: Natural
    sensitivities: list[Annotated[float, Field(gt=0, lt=1)]]


class Explain(Section):
    images: Annotated[int, Field(ge=1, le=60)]
    measured: Count


class Compare(Section):
    bootstrap: Natural


class Report(Section):
    title: str


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    tasks: Annotated[list[Task], Field(min_length=1)]
    backbones: Annotated[list[Backbone], Field(min_length=1)]
    dataset: Dataset
    duplicates: Duplicates
    split: Split
    hair: Hair
    eda: Eda
    pixels: Pixels
    augment: Augment
    train: Train
    evaluate: Evaluate
    explain: Explain
    compare: Compare
    report: Report

    @field_validator("tasks", "backbones")
    @classmethod
    def _unique(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("an entry is listed twice")
        return value


def load(*keys: str, path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml for a stage that declares `keys`, such as "seed" or "dataset.source".

    The whole file is checked. Keys that the stage doesn't declare may be absent, so that a stage runs
    where only its declared params are; reading one of those raises AttributeError.

    Raises:
        UserError: naming every key that is unknown, missing, mistyped or out of range, and what is allowed.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist here; run from the project's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no sections; `git checkout {path}` brings it back")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        faults: dict[str, list[str]] = {}
        for fault in error.errors():
            # Behind section and key stand an entry's number, or names that pydantic gives the types of a union.
            section_key, rest = fault["loc"][:2], fault["loc"][2:]
            key = ".".join(map(str, [*section_key, *(part for part in rest if isinstance(part, int))]))
            if fault["type"] != "missing" or _wanted(key, keys):
                faults.setdefault(key, []).append(_explain(fault))
    if faults:
        raise list_faults(f"{path} has faults", [f"{key}: {'; or '.join(found)}" for key, found in faults.items()])
    return _construct(Params, raw)


def recorded(*stages: str, lock: str | Path = "dvc.lock") -> dict[str, Any]:
    """What DVC recorded as the params of `stages` when they last ran, such as `{"hair.method": "none"}`.

    Empty where DVC recorded nothing. For people to read: no output may depend on it.
    """
    if not Path(lock).exists():
        return {}
    known = yaml.safe_load(Path(lock).read_text(encoding="utf-8")).get("stages", {})
    found: dict[str, Any] = {}
    for stage in stages:
        for name, value in known.get(stage, {}).get("params", {}).get("params.yaml", {}).items():
            found |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
    return found


def _wanted(missing: str, keys: tuple[str, ...]) -> bool:
    return any(f"{missing}.".startswith(f"{key}.") or f"{key}.".startswith(f"{missing}.") for key in keys)


def _explain(fault: Any) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("extra_forbidden", "missing"):
        return "unknown key" if fault["type"] == "extra_forbidden" else "key is missing"
    if fault["type"] == "string_pattern_mismatch":
        message = "allowed: " + fault["ctx"]["pattern"].strip("^$()").replace("|", ", ")
    return f"found {fault['input']!r}: {message}" if not isinstance(fault["input"], dict) else message


def _construct(model: type[BaseModel], raw: dict[str, Any]) -> Any:
    values = {}
    for name, value in raw.items():
        kind = model.model_fields[name].annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        values[name] = _construct(kind, value) if nested else value  # type: ignore[arg-type]
    return model.model_construct(**values)
