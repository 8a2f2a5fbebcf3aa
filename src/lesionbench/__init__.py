"""A reproducible data-and-model pipeline for dermatoscopic images; the stages are in pipeline/."""

import os

# Threads of PyTorch that wait are to sleep, not to spin: beside another busy process, as of DVC's queue, each training
# would otherwise take three times as long. To be said before PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
