"""The command `lesionbench audit`: search the split of any project for leaks."""

import argparse
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
    audit.add_argument("split", metavar="SPLIT.csv", help="one row an image, with its split")
    audit.add_argument("--images", metavar="DIR", type=Path, nargs="+", required=True, help="where the images lie")
    audit.add_argument("--metadata", metavar="CSV", help="one row an image, with its lesion_id")
    audit.add_argument("--duplicates", metavar="CSV", help="pairs: image_id_a, image_id_b, score (blank: known)")
    audit.add_argument(
        "--threshold", metavar="T", type=float, default=1.0, help="score from which a pair is one lesion (default 1)"
    )
    audit.add_argument("--out", metavar="CSV", type=Path, help="write all that two splits share here")
    for name in ("image", "split", "lesion"):
        audit.add_argument(
            f"--{name}-column", metavar="NAME", help=f"name of the {name} column, if it is not recognised"
        )
    run_audit(parser.parse_args(options))


def run_audit(arguments: argparse.Namespace) -> None:
    """Audit a split, print what was found, and raise UserError that lists the leaks, if any."""
    from lesionbench.core import errors, files
    from lesionbench.split import audit, audit_files

    lesion = {"lesion_id": arguments.lesion_column}
    named = {"image_id": arguments.image_column, "split": arguments.split_column}
    # With --metadata, the lesion ids come from there.
    table = audit_files.read_foreign(arguments.split, **named, **({} if arguments.metadata else lesion))
    if "split" not in table:
        names = ", ".join(audit_files.ALIASES["split"])
        raise errors.UserError(f"{arguments.split} has no column {names}; --split-column names another")
    metadata = audit_files.read_foreign(arguments.metadata, **lesion) if arguments.metadata else None
    pairs = audit_files.read_pairs(arguments.duplicates) if arguments.duplicates else audit_files.no_pairs()
    contents = audit_files.hash_images(audit_files.find_files(arguments.images, table))
    table = table.merge(contents, "left", on="image_id")
    overlaps = audit.audit(table, pairs, arguments.threshold, metadata=metadata, leaky=True)
    if arguments.out:
        files.write_csv(arguments.out, overlaps)
    knows_lesions = "lesion_id" in table or (metadata is not None and "lesion_id" in metadata)
    show(table, overlaps, knows_lesions, pairs)
    leaks = overlaps[overlaps["leak"]]
    if len(leaks):
        hint = "" if arguments.out else "; --out FILE.csv lists all" if len(leaks) > audit.SHOWN else ""
        raise errors.list_faults(f"the split leaks{hint}", audit.tell(leaks), audit.SHOWN)


def show(table: "pd.DataFrame", overlaps: "pd.DataFrame", knows_lesions: bool, pairs: "pd.DataFrame") -> None:
    """Print the size of each split and the result of each check. `pairs` are the known duplicate pairs."""
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False)
    sizes = Table("split", "images")
    for split, n in table["split"].value_counts().sort_index().items():
        sizes.add_row(str(split), f"{n:,}")
    out.print(sizes)
    found = Table("shared by two splits", "found", "leaks")
    skipped = {"lesion": not knows_lesions, "group": "group_id" not in table, "duplicate": pairs.empty}
    skipped |= {"candidate": pairs.empty}
    for reason, what in WHAT.items():
        rows = overlaps[overlaps["reason"].eq(reason)]
        cells = ["not checked"] * 2 if skipped.get(reason) else [f"{len(rows):,}", f"{int(rows['leak'].sum()):,}"]
        found.add_row(what, *cells)
    out.print(found)
    if not knows_lesions:
        out.print("Lesions were not checked: neither the split nor --metadata has a column lesion_id.")


WHAT = {
    "lesion": "lesions",
    "group": "groups",
    "file": "files of equal bytes",
    "pixels": "images of equal pixels",
    "duplicate": "duplicates at the threshold or above, or known",
    "chain": "lesions joined by further images",
    "candidate": "pairs below the threshold",
}


if __name__ == "__main__":
    main()
