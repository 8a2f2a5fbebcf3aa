"""Whom a network fails, in words."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lesionbench.report.formats import excludes_zero, in_line, interval, number

HISTOLOGY = ("histo", "histopathology")  # in the words of HAM10000 and of the ISIC Archive


def looked(found: Mapping[str, Any]) -> str:
    """How many subgroups were looked at, and that this calls for care; `found` is as results.Subgroups."""
    count = sum(len(of) for of in found["by"].values())
    return (
        f"{count} subgroups of {len(found['by'])} kinds were looked at, and nothing is corrected for their number: one "
        f"that stands apart is a question, not a finding. A score that rests on fewer than {found['fewest']} lesions "
        "of a class is not shown: too few to say."
    )


def histology(found: Mapping[str, Any]) -> Markup:
    """The scores of lesions with histology alone beside all; "" where there are no others, or too few to say."""
    known = found["by"].get("way of diagnosis", {})
    alone = next((known[name] for name in HISTOLOGY if name in known), None)
    if alone is None or alone["roc_auc"] is None:
        return Markup()
    text = Markup(
        "Of the images with histology alone, ROC AUC of melanoma {} and specificity {}; of all images {} and {}. Other "
        "ways, such as follow-up, are those of benign lesions that nobody saw a reason to cut out."
    )
    return text.format(*(in_line(of, name) for of in (alone, found["all"]) for name in ("roc_auc", "specificity")))


def within(found: Mapping[str, Any]) -> Markup:
    """How the backbone ranks melanomas within one source, beside all; "" where there are no two sources to tell."""
    row = found["within_source"].get(found["backbone"])
    if row is None:
        return Markup()
    text = Markup("Within one source, <strong>{}</strong> has a ROC AUC of melanoma of {}, over all images {}. ")
    ci = row.get("difference_ci")
    if ci is None:
        end = "Too few lesions to say whether these differ."
    elif excludes_zero(ci):
        end = (
            "They differ by {}: a part of the total is between sources, which have other shares of melanoma. Whether "
            "the network recognises the source, or one source has easier lesions, this does not tell."
        )
    else:
        end = "That they differ is not shown ({})."
    size = "" if ci is None else f"{number(row['difference'], sign=True)}, {interval(ci, sign=True)}"
    return text.format(found["backbone"], in_line(row, "within"), in_line(row, "total")) + Markup(end).format(size)
