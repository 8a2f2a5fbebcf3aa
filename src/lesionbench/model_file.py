"""A trained model in one safetensors file, with everything in it that is needed to use it."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

from lesionbench.backbones import Backbone, build
from lesionbench.errors import UserError
from lesionbench.files import write_bytes
from lesionbench.progress import progress

FIELDS = ("task", "backbone", "classes", "size", "mean", "std", "train_key", "settings")


def save_model(path: Path, made: Backbone, described: dict[str, object]) -> None:
    """Write weights and metadata to `path`; `described` has the keys FIELDS but mean and std, which `made` knows."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in made.network.state_dict().items()}
    metadata = {**described, "mean": made.mean, "std": made.std}
    write_bytes(path, _in_fixed_order(save(tensors, {name: json.dumps(metadata[name]) for name in FIELDS})))


def _in_fixed_order(data: bytes) -> bytes:
    """The same file with its metadata sorted: safetensors writes them in another order each time."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_metadata(path: Path) -> dict[str, object]:
    """Read a model's metadata (keys FIELDS) and nothing else of it."""
    try:
        with safe_open(path, framework="np") as stored:
            found = stored.metadata() or {}
    except Exception as error:
        raise UserError(f"{path} is not a model file: {error}; `dvc repro` brings it back") from None
    missing = [name for name in FIELDS if name not in found]
    if missing:
        raise UserError(f"{path} lacks the metadata {', '.join(missing)}; lesionbench did not write it")
    return {name: json.loads(found[name]) for name in FIELDS}


def load_model(path: Path) -> tuple[Backbone, dict[str, object]]:
    """Load a model for inference, in eval mode on the CPU, and its metadata."""
    from safetensors.torch import load_file

    metadata = read_metadata(path)
    classes, size = metadata["classes"], metadata["size"]
    assert isinstance(classes, list)
    assert isinstance(size, int)
    made = build(str(metadata["backbone"]), len(classes), size)
    made.network.load_state_dict(load_file(path))
    made.network.eval()
    return made, metadata


def normalise(images: np.ndarray | torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 RGB (N, S, S, 3) → float32 (N, 3, S, S) in channels_last memory, by `mean` and `std` of values 0 to 1."""
    batch = torch.as_tensor(images).to(mean.device).permute(0, 3, 1, 2).float().div(255)
    return (batch - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


@torch.inference_mode()
def predict(made: Backbone, pixels: np.ndarray, rows: np.ndarray, batch_size: int, device: str) -> np.ndarray:
    """Logits, float32 (len(rows), classes), of those `rows` of uint8 RGB (N, S, S, 3), in float32 on `device`."""
    mean, std = torch.tensor(made.mean, device=device), torch.tensor(made.std, device=device)
    network = made.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = np.array_split(rows, range(batch_size, len(rows), batch_size))
    batches = progress(parts, "predict", unit="batch")
    return np.concatenate([network(normalise(pixels[part], mean, std)).cpu().numpy() for part in batches])
