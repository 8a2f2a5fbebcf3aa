"""Functions compiled by Numba."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, without Python's lock (GIL), and keep the machine code on disk.

    Where Numba can write neither beside the source nor in a home folder, as in some containers, each process compiles
    anew.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)
