"""Three questions that the page answers first: each number is a link to the place that holds it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from lesionbench.evidence.names import TASKS
from lesionbench.report import recommendation, tables
from lesionbench.report.formats import in_line, number

SHARE = "0.1"  # of melanomas, one of those in the table of predictive values


class Question(NamedTuple):
    """Who asks, what, and the answer."""

    who: str
    asks: str
    answer: Markup


def three(tasks: Mapping[str, Mapping[str, Any]]) -> list[Question]:
    """A reviewer's, a clinician's and an engineer's question of what is recommended.

    Args:
        tasks: what `inputs.read_tasks` gives, one task or more.
    """
    choice = recommendation.choose(tasks)
    task = tasks[choice.task]
    name, _, use = recommendation.measured(choice, task)[0]
    return [
        Question(
            "A reviewer", "Does it work within one clinic, or does it only know the clinic?", _within(choice, task)
        ),
        Question(
            "A clinician", "If it says benign, how sure can I be at my share of melanomas?", _benign(choice, name, use)
        ),
        Question("An engineer", "What do I deploy, and what will it do on my images?", _deploy(choice, task)),
    ]


def _link(text: str, target: str) -> Markup:
    return Markup('<a href="#{}">{}</a>').format(target, text)


def _table(text: str, caption: str) -> Markup:
    """`text` as a link to the table with that caption."""
    return _link(text, f"table-{tables.slug(caption)}")


def _within(choice: recommendation.Choice, task: Mapping[str, Any]) -> Markup:
    row = task["subgroups"]["within_source"].get(choice.backbone)
    if row is None or row["within"] is None:
        return Markup("Not known: there are no two sources with melanomas to tell. {}").format(
            _link("Whom it fails", "subgroups")
        )
    caption = f"ROC AUC within sources, {TASKS[choice.task]}"
    text = Markup("ROC AUC of melanoma within one source {}, over all images {}{}. {}.")
    links = (_table(in_line(row, of), caption) for of in ("within", "total"))
    return text.format(*links, _elsewhere(choice, task), _link("Whom it fails", "subgroups"))


def _elsewhere(choice: recommendation.Choice, task: Mapping[str, Any]) -> Markup:
    known = [
        Markup(", on {} {}").format(name, _table(in_line(scores["melanoma"], "roc_auc"), _rivals(name, choice)))
        for name, scores, _ in recommendation.measured(choice, task)[1:]
        if scores["melanoma"]["roc_auc"] is not None
    ]
    return Markup("").join(known) or Markup(". A clinic never seen may differ")


def _rivals(name: str, choice: recommendation.Choice) -> str:
    return f"Trivial predictors on {name}, {TASKS[choice.task]}"


def _benign(choice: recommendation.Choice, name: str, use: Mapping[str, Any]) -> Markup:
    if choice.point is None:
        return Markup("Not known: val has no melanoma to choose a threshold on.")
    npv = in_line(use["points"][choice.point]["at"][SHARE], "npv")
    text = Markup("Where {:.0f}&nbsp;% are melanomas, {} of the images that it calls benign are ({}). {}.")
    links = _table(npv, "Predictive values by prevalence"), name, _link("When not to answer", "refusal")
    return text.format(100 * float(SHARE), *links)


def _deploy(choice: recommendation.Choice, task: Mapping[str, Any]) -> Markup:
    if choice.point is None:
        return Markup("{}, without a threshold. {}.").format(choice.backbone, _link("Recommendation", "recommendation"))
    threshold = number(choice.val["operating_points"][choice.point]["threshold"])
    parts = recommendation.measured(choice, task)
    expected = Markup("; ").join(_expected(name, scores["operating_points"][choice.point]) for name, scores, _ in parts)
    text = Markup("{}, which calls melanoma from p(melanoma) {} on. {}. {}.")
    links = _link(threshold, "recommendation"), expected, _link("Worse images", "robustness")
    return text.format(choice.backbone, *links)


def _expected(name: str, point: Mapping[str, Any]) -> Markup:
    caption = "What to expect of the recommended network"
    links = (_table(in_line(point, of), caption) for of in ("sensitivity", "specificity"))
    return Markup("{}: sensitivity {}, specificity {}").format(name, *links)
