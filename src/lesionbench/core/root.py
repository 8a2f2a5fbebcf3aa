"""The project's root. DVC runs queued experiments in a copy of the project, which lacks what git ignores."""

import os
from pathlib import Path


def root() -> Path:
    """The project's root: $DVC_ROOT, which DVC sets also in a queued experiment, else the current folder."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def anchored(path: str) -> str:
    """A path as its user means it: "~" is the home, and a relative path starts at the project's root.

    In the root itself, a relative path stays as it was written. So does an address, with "://".
    """
    if "://" in path:
        return path
    found = Path(path).expanduser()
    return str(found if Path.cwd() == root() else root() / found)


def bring(folder: str | Path) -> None:
    """Link what the project's `folder` has and this copy's lacks, such as a user's own images, which git ignores.

    DVC then finds the same files in both, and so the same hash. Nothing happens in the project itself, or if `folder`
    is absolute or missing in either. Links to folders stay links, as DVC does not look into them.
    """
    source, target = root() / folder, Path.cwd() / folder
    if Path.cwd() == root() or Path(folder).is_absolute() or not (source.is_dir() and target.is_dir()):
        return
    for here, folders, names in os.walk(source):
        there = target / Path(here).relative_to(source)
        there.mkdir(exist_ok=True)
        linked = [name for name in folders if Path(here, name).is_symlink()]
        for name in [*names, *linked]:
            if not os.path.lexists(there / name):
                _link(Path(here, name), there / name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # a folder, or on another file system
        target.symlink_to(source.resolve())
