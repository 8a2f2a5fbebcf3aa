"""The command `lesionbench audit`: search the split of any project for leaks."""

import argparse
import os
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from lesionbench.core import process

if TYPE_CHECKING:
    import pandas as pd


def main() -> None:
    """Entry point of the installed command `lesionbench`."""
    process.run(run_command)


def run_command(*options: str) -> None:
    """Parse the command line's `options` and run the audit."""
    parser = argparse.ArgumentParser("lesionbench", description="Splits of dermatoscopic images, checked.")
    audit = parser.add_subparsers(required=True).add_parser("audit", help="find what two splits share")
    audit.add_argument(
        "split",
        metavar="SPLIT",
        type=_path,
        nargs="+",
        help="a table with one row an image and its split, or a table a split (train.csv val.csv test.csv), or folders "
        "of images: train/ val/ test/, or one that holds them",
    )
    audit.add_argument("--images", metavar="DIR", type=_path, nargs="+", help="where the images of a table lie")
    audit.add_argument("--metadata", metavar="CSV", type=_path, help="one row an image, with its lesion and patient")
    audit.add_argument(
        "--duplicates", metavar="CSV", type=_path, help="pairs: image_id_a, image_id_b, score (blank: known)"
    )
    audit.add_argument(
        "--threshold", metavar="T", type=float, default=1.0, help="score from which a pair is one lesion (default 1)"
    )
    audit.add_argument("--out", metavar="CSV", type=_path, help="write all that two splits share here")
    for name in ("image", "split", "lesion", "patient"):
        audit.add_argument(
            f"--{name}-column", metavar="NAME", help=f"name of the {name} column, if it is not recognised"
        )
    run_audit(parser.parse_args(options))


def _path(text: str) -> Path:
    """A path of the command line; the shell leaves `~` alone in --out=~/x.csv."""
    return Path(os.path.expanduser(text))


def run_audit(arguments: argparse.Namespace) -> None:
    """Audit a split, print what was found, and raise UserError that lists the leaks, if any."""
    from lesionbench.core import errors, files
    from lesionbench.split import audit, audit_files

    # With --metadata, lesions and patients come from there.
    of_lesion = {"lesion_id": arguments.lesion_column, "patient_id": arguments.patient_column}
    named = {"image_id": arguments.image_column, "split": arguments.split_column}
    named |= {} if arguments.metadata else of_lesion
    if all(path.is_dir() for path in arguments.split):
        table, found = audit_files.read_folders(arguments.split)
    elif folders := [str(path) for path in arguments.split if path.is_dir()]:
        raise errors.UserError(f"{', '.join(folders)}: name either tables or folders, not both")
    else:
        table = audit_files.read_splits(arguments.split, **named)
        found = audit_files.find_files(arguments.images, table) if arguments.images else {}
    pairs = audit_files.read_pairs(arguments.duplicates) if arguments.duplicates else audit_files.no_pairs()
    there = pairs["image_id_a"].isin(table["image_id"]) & pairs["image_id_b"].isin(table["image_id"])
    metadata = audit_files.read_foreign(arguments.metadata, **of_lesion) if arguments.metadata else None
    if metadata is not None:
        metadata = audit_files.align(metadata, table)
    tables = [table] if metadata is None else [metadata, table]
    notes = [*audit_files.join_alike(tables), *audit_files.contradictions(tables[0])]
    if not there.all():
        notes.append(f"{int((~there).sum()):,} of {len(pairs):,} pairs name an image that the split does not have.")
        pairs = pairs[there]
    if found:
        table = table.merge(audit_files.hash_images(found), "left", on="image_id")
    overlaps = audit.audit(table, pairs, arguments.threshold, metadata=metadata, leaky=True)
    if arguments.out:
        files.write_csv(arguments.out, overlaps)
    known = {name for each in tables for name in each.columns if each[name].ne("").any()}
    show(table, overlaps, known, pairs)
    print(*notes, sep="\n", end="\n" if notes else "")
    leaks = overlaps[overlaps["leak"]]
    if len(leaks):
        hint = "" if arguments.out else "; --out FILE.csv lists all" if len(leaks) > audit.SHOWN else ""
        raise errors.list_faults(f"the split leaks{hint}", audit.tell(leaks), audit.SHOWN)


def show(table: "pd.DataFrame", overlaps: "pd.DataFrame", known: Container[str], pairs: "pd.DataFrame") -> None:
    """Print the size of each split and the result of each check.

    Args:
        table: the split, with the hashes of its images if they were read.
        overlaps: what the audit found.
        known: columns of split and metadata.
        pairs: the known duplicate pairs.
    """
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False, markup=False)
    sizes = Table("split", "images")
    for split, n in table["split"].value_counts().sort_index().items():
        sizes.add_row(str(split), f"{n:,}")
    out.print(sizes)
    found = Table("shared by two splits", "found", "leaks")
    unread = "pixels_sha256" not in table
    skipped = {reason: f"{reason}_id" not in known for reason in ("lesion", "patient")}
    skipped |= {"group": "group_id" not in table}
    skipped |= {"file": unread, "pixels": unread, "duplicate": pairs.empty, "candidate": pairs.empty}
    for reason, what in WHAT.items():
        rows = overlaps[overlaps["reason"].eq(reason)]
        cells = ["not checked"] * 2 if skipped.get(reason) else [f"{len(rows):,}", f"{int(rows['leak'].sum()):,}"]
        found.add_row(what, *cells)
    out.print(found)
    for reason in ("lesion", "patient"):
        if skipped[reason]:
            told = f"{reason.capitalize()}s were not checked"
            print(f"{told}: neither the split nor --metadata has a column {reason}_id.")
    if unread:
        print("Files and pixels were not checked: --images names the folders where the images lie.")


WHAT = {
    "lesion": "lesions",
    "patient": "patients",
    "group": "groups",
    "file": "files of equal bytes",
    "pixels": "images of equal pixels",
    "duplicate": "duplicates at the threshold or above, or known",
    "chain": "lesions joined by further images",
    "candidate": "pairs below the threshold",
}


if __name__ == "__main__":
    main()
