"""Speed, each time against a named alternative in one run: `make bench`."""

import lesionbench  # noqa: F401 - says how PyTorch's threads wait, before PyTorch is loaded
