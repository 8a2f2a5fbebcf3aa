"""Run the blocks of docs/notebook.md and write what they print below each: `python docs/notebook.py` in the root."""

import contextlib
import io
import re
from pathlib import Path

BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def run(page: str) -> str:
    """Run the Python blocks of `page` one after another, in the current folder.

    Args:
        page: Markdown. A block of text right behind a block of Python is what that printed.

    Returns:
        The page with what the blocks print now.
    """
    names: dict[str, object] = {}

    def execute(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block[1], names)
        output = f"\n```text\n{printed.getvalue()}```\n" if printed.getvalue() else ""
        return f"```python\n{block[1]}```\n{output}"

    return BLOCK.sub(execute, page)


if __name__ == "__main__":
    notebook = Path(__file__).with_suffix(".md")
    notebook.write_text(run(notebook.read_text(encoding="utf-8")), encoding="utf-8")
