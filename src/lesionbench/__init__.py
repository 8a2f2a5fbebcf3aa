"""A reproducible data-and-model pipeline for dermatoscopic images; the stages are in pipeline/."""

import gc
import os

# Threads of PyTorch that wait are to spin for microseconds, then sleep. If they slept at once, a training alone would
# take half as long again; if they spun for long, two at once, as of DVC's queue, would take ten times as long each.
# To be said before PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# Importing PyTorch and Lightning makes a million objects and no garbage: a fifth of start-up went into looking for it.
gc.set_threshold(100_000, 20, 20)
