"""How the C library handles memory."""

import contextlib
import ctypes


def keep_memory() -> None:
    """Let glibc keep what is freed: given back and asked for anew, the kernel zeroes each page, at every step.

    It costs a training on the CPU a fifth of its time, hair removal an eighth.
    """
    trim_threshold, mmap_max = -1, -4
    with contextlib.suppress(OSError, AttributeError):  # another C library does as it likes
        c = ctypes.CDLL(None)
        c.mallopt(trim_threshold, 2**31 - 1)
        c.mallopt(mmap_max, 0)
