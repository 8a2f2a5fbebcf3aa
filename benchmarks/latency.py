"""Size of each backbone and the time that one image takes on a CPU: python -m benchmarks.latency [BACKBONE...].

Writes docs/latency.csv, from which the report tells what a network costs in use. The network gets one image at a time,
as packed, on one thread. Decoding and resizing a photograph come on top.
"""

import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lesionbench.core.files import write_csv
from lesionbench.networks.backbones import build, normalise

BACKBONES = (
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "inception_v3",
    "resnet50",
    "efficientnet_b4",
)
SIZE = 224
WARM_UP, IMAGES = 5, 50


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1] for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    )
    return (names[0] if names else platform.processor() or platform.machine()).strip()


def measure(backbone: str) -> dict[str, object]:
    """Parameters, megabytes as float32, and milliseconds an image (median and 95th percentile)."""
    made = build(backbone, 7, SIZE)
    network, mean, std = made.network.eval(), torch.tensor(made.mean), torch.tensor(made.std)
    images = np.random.default_rng(1).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    times = []
    with torch.inference_mode():
        for _ in range(WARM_UP + IMAGES):
            start = time.perf_counter()
            network(normalise(images, mean, std))
            times.append(1000 * (time.perf_counter() - start))
    parameters = sum(each.numel() for each in network.parameters())
    return {
        "backbone": backbone,
        "pixels": SIZE,
        "parameters": parameters,
        "megabytes": round(4 * sum(each.numel() for each in network.state_dict().values()) / 1e6, 1),
        "milliseconds": round(float(np.median(times[WARM_UP:])), 1),
        "milliseconds_p95": round(float(np.quantile(times[WARM_UP:], 0.95)), 1),
        "images": IMAGES,
        "machine": f"one thread of {processor()}, torch {torch.__version__.split('+')[0]}",
    }


def main(*backbones: str) -> None:
    torch.set_num_threads(1)
    table = pd.DataFrame([measure(backbone) for backbone in backbones or BACKBONES])
    write_csv("docs/latency.csv", table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
