"""A reproducible data-and-model pipeline for dermatoscopic images; the stages are in pipeline/."""

import gc
import os

# Threads of PyTorch that wait are to sleep, not to spin: beside another busy process, as of DVC's queue, each training
# would otherwise take three times as long. To be said before PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Importing PyTorch and Lightning makes a million objects and no garbage: a fifth of start-up went into looking for it.
gc.set_threshold(100_000, 20, 20)
