"""What each JSON that one stage writes and another reads holds; FILES says which model is of which file.

A stage writes `results.write(path, results.Hair.model_validate(found))`, the next one reads
`results.read(results.Hair, path)`. Keys are written in the order in which they stand here. A key without a default is
always there, and null where its number is undefined. A key with the default None is absent where there is no value.
"""

from pydantic import BaseModel

from lesionbench.results.comparison import Comparison, Difference, Summary
from lesionbench.results.data import (
    Affine,
    Audit,
    Augmentation,
    Brightness,
    Cohort,
    Duplicates,
    Eda,
    Effect,
    Flip,
    Hair,
    Index,
    Part,
    Split,
)
from lesionbench.results.deployment import Benefit, Deployment, Point, Predictive, Use
from lesionbench.results.elsewhere import Population, Transfer
from lesionbench.results.fields import Numbers, Section, read, write
from lesionbench.results.models import ClassEnergy, Epoch, Evaluation, Explanation, Training
from lesionbench.results.refusal import (
    ClassCoverage,
    Conformal,
    Flagged,
    Neighbours,
    Outside,
    Refusal,
    Refused,
    Selective,
    SetScores,
)
from lesionbench.results.rivals import Gain, Gains, Rivals
from lesionbench.results.robustness import Disturbed, Robustness
from lesionbench.results.scores import (
    METRICS,
    ClassScores,
    Decided,
    Evaluated,
    LesionScores,
    OperatingPoint,
    Parts,
    Reliability,
    Scores,
)
from lesionbench.results.subgroups import Subgroup, Subgroups, WithinSource

FILES: dict[str, type[BaseModel]] = {
    "metrics/index.json": Index,
    "metrics/duplicates.json": Duplicates,
    "metrics/split.json": Split,
    "metrics/hair.json": Hair,
    "metrics/eda.json": Eda,
    "data/augmentation.json": Augmentation,
    "metrics/train/<task>/<backbone>.json": Training,
    "metrics/evaluate/<task>/<backbone>.json": Evaluation,
    "metrics/explain/<task>/<backbone>.json": Explanation,
    "metrics/compare/<task>.json": Comparison,
    "metrics/rivals/<task>.json": Rivals,
    "metrics/subgroups/<task>.json": Subgroups,
    "metrics/summary.json": Summary,
}

__all__ = [
    "FILES",
    "METRICS",
    "Affine",
    "Audit",
    "Augmentation",
    "Benefit",
    "Brightness",
    "ClassCoverage",
    "ClassEnergy",
    "ClassScores",
    "Cohort",
    "Comparison",
    "Conformal",
    "Decided",
    "Deployment",
    "Difference",
    "Disturbed",
    "Duplicates",
    "Eda",
    "Effect",
    "Epoch",
    "Evaluated",
    "Evaluation",
    "Explanation",
    "Flagged",
    "Flip",
    "Gain",
    "Gains",
    "Hair",
    "Index",
    "LesionScores",
    "Neighbours",
    "Numbers",
    "OperatingPoint",
    "Outside",
    "Part",
    "Parts",
    "Point",
    "Population",
    "Predictive",
    "Refusal",
    "Refused",
    "Reliability",
    "Rivals",
    "Robustness",
    "Scores",
    "Section",
    "Selective",
    "SetScores",
    "Split",
    "Subgroup",
    "Subgroups",
    "Summary",
    "Training",
    "Transfer",
    "Use",
    "WithinSource",
    "read",
    "write",
]
