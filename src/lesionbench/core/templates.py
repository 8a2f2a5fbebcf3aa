"""Templates of Markdown."""

from pathlib import Path

import jinja2


def markdown(folder: Path) -> jinja2.Environment:
    """The templates in `folder`, of Markdown: blocks leave no blank lines, and an unknown name is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
