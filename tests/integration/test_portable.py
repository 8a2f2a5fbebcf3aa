"""The data stages write the same bytes on every x86 CPU: the imitation of an old one against the run on this one.

Switches of the libraries leave out instructions that an older CPU lacks, so that float32 rounds another way. Each of
them changes results on this machine, which `test_the_switches_change_something` shows.
"""

import json
from pathlib import Path

import pytest
from children import run
from mini_pipeline import ROOT, declared_stages, dump_yaml, files_below, mini_params, paths

pytestmark = pytest.mark.portable

STAGES = ("download", "index", "duplicates", "split", "remove_hair", "pack")  # figures apart: docs/reproduced.md
# What the switches leave: SSE3 in OpenCV, no IPP, SSE4.2 in NumPy, BLAS for a CPU of 2008; code of Numba and libjpeg
# without any of it.
IMITATION = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA",
    "JSIMD_FORCENONE": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
    "NUMBA_CPU_NAME": "generic",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENCV_CPU_DISABLE": "AVX2,FMA3,AVX",
    "OPENCV_IPP": "disabled",
}
CODE = """
import os, runpy, sys
from lesionbench.core import process
process.prepare()
pipeline, folder, *stages = sys.argv[1:]
os.chdir(folder)
for stage in stages:
    runpy.run_path(f"{pipeline}/{stage}.py")["main"]()
"""
ROUNDED = """
import hashlib, json, cv2, numpy as np
draw = np.random.default_rng(0)
image, level = draw.random((99, 99), np.float32), draw.integers(0, 256, (99, 99), np.uint8)
made = {
    "NPY_DISABLE_CPU_FEATURES": np.exp(image),
    "OPENBLAS_CORETYPE": image @ image,
    "OPENCV_CPU_DISABLE": cv2.GaussianBlur(image, (0, 0), 1.5),
    "OPENCV_IPP": cv2.resize(level, (150, 150), interpolation=cv2.INTER_CUBIC),
}
print(json.dumps({name: hashlib.md5(each.tobytes()).hexdigest() for name, each in made.items()}))
"""


def test_another_cpu_writes_the_same_bytes(ran: Path, tmp_path: Path) -> None:
    dump_yaml(mini_params(), tmp_path / "params.yaml")
    state = {"DVC_ROOT": str(tmp_path), "LESIONBENCH_CACHE": str(tmp_path / "cache")}  # nothing is taken from a cache
    done = run(CODE, str(ROOT / "pipeline"), str(tmp_path), *STAGES, **state, **IMITATION)
    assert done.returncode == 0, done.stderr
    declared = declared_stages()
    outs = [out for stage in STAGES for out in paths(declared[stage]["outs"] + declared[stage].get("metrics", []))]
    made, expected = ({file for out in outs for file in under(folder, out)} for folder in (tmp_path, ran / "store"))
    assert made == expected
    assert not {file for file in made if (tmp_path / file).read_bytes() != (ran / "store" / file).read_bytes()}


def under(folder: Path, out: str) -> set[str]:
    """The files of `folder` that are `out` or lie in it."""
    return {out} if (folder / out).is_file() else {f"{out}/{name}" for name in files_below(folder / out)}


def test_the_switches_change_something() -> None:
    """Otherwise the test above would compare this CPU with itself."""
    here, there = (json.loads(run(ROUNDED, **switches).stdout) for switches in ({}, IMITATION))
    if here == there:
        pytest.skip("this CPU has none of the instructions that the switches leave out")
    assert not [name for name in here if here[name] == there[name]]
