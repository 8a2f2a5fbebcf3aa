"""A trained model in one safetensors file that holds all that is needed to use the model."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from lesionbench.core.errors import UserError
from lesionbench.core.files import write_bytes
from lesionbench.networks import metadata as head
from lesionbench.networks.backbones import Backbone, build

FIELDS = ("task", "backbone", "classes", "size", "mean", "std", "train_key", "settings")


def save_model(path: Path, made: Backbone, described: dict[str, object]) -> None:
    """Write weights and metadata to `path`. `described` has the keys FIELDS except mean and std, which `made` has."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in made.network.state_dict().items()}
    metadata = {**described, "mean": made.mean, "std": made.std}
    write_bytes(path, _in_fixed_order(save(tensors, {name: json.dumps(metadata[name]) for name in FIELDS})))


def _in_fixed_order(data: bytes) -> bytes:
    """The same file with sorted metadata, because safetensors writes metadata in a new order each time."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_metadata(path: Path) -> dict[str, object]:
    """Read only a model's metadata, with the keys FIELDS; raises UserError for any other file."""
    try:
        with safe_open(path, framework="np") as stored:
            found = stored.metadata() or {}
    except Exception as error:
        raise UserError(f"{path} is not a model file: {error}; `dvc repro` brings it back") from None
    missing = [name for name in FIELDS if name not in found]
    if missing:
        raise UserError(f"{path} lacks the metadata {', '.join(missing)}; lesionbench did not write it")
    return {name: json.loads(found[name]) for name in FIELDS}


def _three(values: object) -> tuple[float, ...]:
    assert isinstance(values, list)
    return tuple(map(float, values))


def load_model(path: Path) -> tuple[Backbone, dict[str, object]]:
    """Load a model on the CPU in eval mode, and its metadata; raises UserError as `read_metadata` does.

    Mean and standard deviation are the file's, in case a later version of `build` has others.
    """
    from safetensors.torch import load_file

    metadata = read_metadata(path)
    classes, size = metadata["classes"], metadata["size"]
    assert isinstance(classes, list)
    assert isinstance(size, int)
    made = build(str(metadata["backbone"]), len(classes), size)
    head.attach(made, metadata["settings"].get("coding", {}), len(classes))  # type: ignore[attr-defined]
    made.mean, made.std = _three(metadata["mean"]), _three(metadata["std"])
    made.network.load_state_dict(load_file(path))
    made.network.eval()
    return made, metadata
