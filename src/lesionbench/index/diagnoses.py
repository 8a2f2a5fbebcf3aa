"""Diagnoses as tables write them: codes, words, the ISIC Archive's levels, or one column a class."""

import re
from collections.abc import Mapping

import pandas as pd

from lesionbench.core.tasks import DIAGNOSES
from lesionbench.index.columns import CODES, LEVELS, LOOSE, OTHERS, WORDS
from lesionbench.index.tables import key, near

MEANING = CODES | {word: dx for dx, words in WORDS.items() for word in words}
NOT_ONE = "not exactly one diagnosis is 1"


def spell(text: str) -> str:
    """The words of a diagnosis in lower case, without punctuation and a last "NOS" (not otherwise specified)."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip().removesuffix(" nos")


def lacking(raw: pd.DataFrame, found: Mapping[str, str]) -> list[str]:
    """What a table needs to name diagnoses, with the columns that may be meant; [] where it is there.

    Args:
        raw: the table.
        found: our name → its column.
    """
    hot = _classes(raw)
    missing = [dx for dx in DIAGNOSES if dx not in hot.values()]
    if "dx" in found or _levels(raw) or not missing:
        return []
    free = [column for column in raw.columns if column not in [*found.values(), *hot]]
    text = "the diagnosis: a column dx or diagnosis"
    if len(missing) == len(DIAGNOSES):
        text += near("dx", free) or near("diagnosis", free)
    text += f", or one column for each of {', '.join(DIAGNOSES)}"
    if len(missing) < len(DIAGNOSES):
        text += f": {', '.join(f'{dx.upper()} is missing{near(dx, free)}' for dx in missing)}"
    return [text]


def read_diagnoses(raw: pd.DataFrame, found: Mapping[str, str]) -> tuple[pd.Series, list[str]]:
    """Read the diagnosis of each row.

    Args:
        raw: a table of which nothing is `lacking`.
        found: our name → its column.

    Returns:
        One of DIAGNOSES, or what else stands there (str), with the index of `raw`; and the columns it was read from.
        A row of a one-hot table with other than one 1 is "not exactly one diagnosis is 1".
    """
    named, levels, hot = found.get("dx"), _levels(raw), _classes(raw)
    loose = named is None or key(named) in map(key, LOOSE["dx"])
    if loose and set(hot.values()) == set(DIAGNOSES):
        return _from_one_hot(raw, hot, [column for column in raw.columns if column not in found.values()])
    if levels and (loose or key(str(named)) == "diagnosis"):
        columns = levels if loose else [*levels, str(named)]
        return raw[columns].apply(lambda row: _from_levels(row.tolist()), axis=1), columns
    column = raw[str(named)]
    # A word among codes is a slip: whoever writes codes means to write nothing else.
    in_codes = key(str(named)) == "dx" and column.str.lower().isin(DIAGNOSES).any()
    known = CODES if in_codes else MEANING
    return column.map(lambda cell: known.get(spell(cell), cell)), [str(named)]


def _levels(raw: pd.DataFrame) -> list[str]:
    return [column for column in raw.columns if key(column) in map(key, LEVELS)]


def _classes(raw: pd.DataFrame) -> dict[str, str]:
    """Columns of a one-hot table: name → the diagnosis that it stands for."""
    return {column: MEANING[spell(column)] for column in raw.columns if spell(column) in MEANING}


def _from_levels(cells: list[str]) -> str:
    """The one diagnosis that a row's levels name; else those that contradict, or the narrowest words."""
    known = [cell for cell in cells if spell(cell) in MEANING]
    if len({MEANING[spell(cell)] for cell in known}) == 1:
        return MEANING[spell(known[0])]
    return " and ".join(dict.fromkeys(known)) or next((cell for cell in reversed(cells) if cell), "")


def _from_one_hot(raw: pd.DataFrame, hot: Mapping[str, str], free: list[str]) -> tuple[pd.Series, list[str]]:
    """Read one-hot columns. Other columns of 0 and 1 among `free` are classes of the rows that are of none of `hot`."""
    numbers = raw[free].apply(pd.to_numeric, errors="coerce")
    more = [column for column in free if column not in hot and numbers[column].isin([0, 1]).all()]
    sure = [column for column in more if spell(column) in OTHERS]  # these must be 0 where one of `hot` is 1
    maybe = [column for column in more if column not in sure]
    legal = numbers[list(hot)].isin([0, 1]).all(axis=1)
    dx = pd.Series(NOT_ONE, index=raw.index)
    total = numbers[[*hot, *sure]].sum(axis=1)
    for columns, able in ((maybe, total.eq(0)), ([*hot, *sure], total.eq(1))):
        one = numbers.loc[able & legal & numbers[columns].sum(axis=1).eq(1), columns]
        if len(one):
            dx[one.index] = one.idxmax(axis=1).map(lambda column: hot.get(column, column))
    return dx, [*hot, *sure, *(column for column in maybe if column in set(dx))]
