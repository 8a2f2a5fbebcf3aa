"""Functions compiled by Numba, wherever its cache may lie."""

import numpy as np
import pytest
from numba.core.caching import CacheImpl

from lesionbench.hair.compiled import compiled


def test_without_a_place_for_the_machine_code_it_works_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is read-only and there is no home, as in some containers: Numba finds no place."""
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    def total(numbers: np.ndarray) -> float:
        found = 0.0
        for number in numbers:
            found += number
        return found

    assert compiled(total)(np.arange(4.0)) == 6
