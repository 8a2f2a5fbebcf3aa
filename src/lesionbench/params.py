"""The types of params.yaml. They have no defaults, because DVC would not notice a changed default."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from lesionbench.core import invalid, machine
from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.files import read_yaml
from lesionbench.core.metadata import Inputs
from lesionbench.core.tasks import CLASSES

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
AutoOrCount = Literal["auto"] | Count
AutoOrShare = Literal["auto"] | Share
Task = Literal["melanoma", "diagnosis"]
Backbone = Annotated[
    str,
    Field(
        pattern=r"^(resnet50|inception_v3|efficientnet_b4|efficientnet_lite0|efficientnet_lite1|efficientnet_lite2|"
        r"timm:[A-Za-z0-9_.]+)$"
    ),
]


class Section(BaseModel):
    """A section in which unknown keys, wrong types, infinity and NaN are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Dataset(Section):
    source: Literal["phantom", "ham10000", "folder"]
    mirror: Text | None
    path: Text
    external: list[Text]
    max_lesions: Count | None
    phantom_lesions: Annotated[int, Field(ge=22)]  # three per diagnosis, and the nevus with two ids


class Duplicates(Section):
    threshold: Annotated[float, Field(gt=0, le=1)]
    floor: Annotated[float, Field(gt=0, le=1)]


class Split(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scheme: Literal["lesion", "image"]
    by_patient: bool
    images: Literal["all", "one_per_lesion", "singletons"]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=3)] | None
    fold: Natural
    holdout_source: str | None

    @model_validator(mode="after")
    def _consistent(self) -> "Split":
        if self.val + self.test >= 1:
            raise ValueError(
                f"val + test is {self.val:g} + {self.test:g}; it must stay below 1, or nothing is left to train on"
            )
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
    edge: Annotated[float, Field(ge=0, le=1)]

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a kernel has a middle pixel: use an odd number")
        return value


class Eda(Section):
    samples_per_class: Annotated[int, Field(ge=1, le=20)]
    bootstrap: Natural


class Pixels(Section):
    size: Annotated[int, Field(ge=32, le=1024)]
    fit: Literal["squash", "crop"]
    colour: Literal["none", "shades_of_grey"]


class Augment(Section):
    rotation: Annotated[float, Field(ge=0, le=180)]
    width_shift: Share
    height_shift: Share
    shear: Annotated[float, Field(ge=0, lt=90)]
    zoom: Share
    horizontal_flip: bool
    vertical_flip: bool
    quarter_turns: bool
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    cutout: Share
    brightness: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    fill_mode: Literal["nearest", "reflect", "constant", "wrap"]

    @field_validator("brightness")
    @classmethod
    def _ordered(cls, value: list[float]) -> list[float]:
        if value[0] > value[1]:
            raise ValueError("the lower factor comes first")
        return value


# Keys of section train that evaluation, comparison or the start of a training read for all backbones.
OF_ALL = {"accelerator", "devices", "num_nodes", "strategy", "monitor", "overrides"}


class Train(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    head_rate: Positive
    warmup: Share
    label_smoothing: Share
    class_balance: Literal["none", "weights", "focal", "logit_adjust"]
    focal_gamma: Annotated[float, Field(ge=0)]
    monitor: Literal["average_precision", "roc_auc", "balanced_accuracy"]
    patience: Count
    gradient_clip: Positive | None
    ema: Share
    first_size: Annotated[float, Field(gt=0, le=1)]
    batch_norm: Literal["running", "recomputed"]
    dropout: AutoOrShare
    stochastic_depth: AutoOrShare
    weights: Annotated[str, Field(pattern=r"^(packaged|imagenet|none|weights/.+)$")]
    metadata: Inputs
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: AutoOrCount
    num_nodes: Count
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"]
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true"]
    compile: bool
    workers: Literal["auto"] | Natural
    overrides: dict[Backbone, dict[str, Any]]

    @model_validator(mode="after")
    def _valid_for_each(self) -> "Train":
        for backbone, own in self.overrides.items():
            if refused := sorted(OF_ALL & set(own)):
                raise ValueError(f"overrides.{backbone}.{refused[0]}: this key holds for all backbones alike")
            try:
                self.of(backbone)
            except ValidationError as error:
                fault = error.errors()[0]
                key, said = ".".join(map(str, fault["loc"])), invalid.explain(fault, [*Train.model_fields])
                raise ValueError(f"overrides.{backbone}.{key}: {said}") from None
        return self

    def of(self, backbone: str) -> "Train":
        """This section with the overrides of one backbone, and without those of others."""
        return Train.model_validate({**self.model_dump(), **self.overrides.get(backbone, {}), "overrides": {}})


class Evaluate(Section):
    batch_size: Count
    bootstrap: Natural
    views: Literal[1, 8]
    sensitivities: list[Annotated[float, Field(gt=0, lt=1)]]
    robustness: Natural
    test: Literal["auto", "open", "sealed"]
    decision: Literal["balanced", "likeliest", "cost"]
    cost: dict[Task, list[list[Annotated[float, Field(ge=0)]]]] | None

    @field_validator("cost")
    @classmethod
    def _square(cls, value: dict[Task, list[list[float]]] | None) -> dict[Task, list[list[float]]] | None:
        for task, matrix in (value or {}).items():
            classes = CLASSES[task]
            if [len(row) for row in matrix] != [len(classes)] * len(classes):
                found = f"{len(matrix)} rows of {' '.join(str(len(row)) for row in matrix)}"
                wanted = f"{len(classes)} rows (true class) of {len(classes)} numbers (class named)"
                raise ValueError(f"the matrix of {task} has {found}; it must have {wanted}: {', '.join(classes)}")
        return value


class Explain(Section):
    images: Annotated[int, Field(ge=1, le=60)]
    measured: Count
    batch_size: Count
    bootstrap: Natural


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

    @field_validator("evaluate")
    @classmethod
    def _costed(cls, value: Evaluate, info: ValidationInfo) -> Evaluate:
        if value.decision == "cost":
            lacking = [task for task in info.data.get("tasks", []) if task not in (value.cost or {})]
            if lacking:
                raise ValueError(f"decision is cost, but cost has no matrix for {' and '.join(lacking)}; give one")
        return value

    @property
    def leaky(self) -> bool:
        """Whether the split leaks on purpose."""
        return self.split.scheme == "image"


def load(*keys: str, path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml for a stage that declares `keys`, such as "seed" or "dataset.source".

    The whole file is checked. Keys that the stage does not declare may be absent, so a stage runs with only its
    declared parameters. Reading an absent key raises AttributeError.

    Raises:
        UserError: names every key that is unknown, missing, of the wrong type or out of range, and the allowed values.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no sections; `git checkout {path}` brings it back")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:

        def key(fault: Any) -> str:
            # After section and key, loc has the number of a list entry, or pydantic's names of a union's types.
            section_key, rest = fault["loc"][:2], fault["loc"][2:]
            name = ".".join(map(str, [*section_key, *(part for part in rest if isinstance(part, int))]))
            return "" if fault["type"] == "missing" and not _wanted(name, keys) else name

        faults = invalid.lines(error, key, lambda fault: invalid.explain(fault, _keys(fault["loc"][:-1])))
    if faults:
        raise list_faults(f"{path} has faults", faults)
    return invalid.unchecked(Params, raw)


def check_machine(config: Params) -> None:
    """Refuse a section train that this machine cannot do, as `machine.check` does; nothing where it is absent.

    With $LAUNCH the trainings will be started on several machines. They check that themselves.
    """
    if "train" in config.model_fields_set:
        machine.check(config.train.model_copy(update={"num_nodes": 1} if os.environ.get("LAUNCH") else {}))


def _wanted(missing: str, keys: tuple[str, ...]) -> bool:
    return any(f"{missing}.".startswith(f"{key}.") or f"{key}.".startswith(f"{missing}.") for key in keys)


def _keys(section: tuple[Any, ...]) -> list[str]:
    """The known keys of params.yaml, or of the section at the location `section`."""
    kind = Params.model_fields[section[0]].annotation if section else Params
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
