"""What dvc.yaml declares of the code: what each stage's script imports, in both directions."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.stage.cache import _get_cache_hash
from mini_pipeline import EXEMPT, ROOT, declared_stages, paths, read_yaml

PACKAGE = ROOT / "src/lesionbench"
STAGES = declared_stages()


def file_of(module: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT.joinpath("src", *module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


class Imports(ast.NodeVisitor):
    """The modules of ours that some code imports, at its top or in a function; not those for type checks alone."""

    def __init__(self) -> None:
        self.found: list[Path] = []

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if f"{node.module}.".startswith("lesionbench."):
            for alias in node.names:
                file = file_of(f"{node.module}.{alias.name}") or file_of(str(node.module))
                assert file, f"there is no module {node.module}"
                self.found.append(file)

    def visit_Import(self, node: ast.Import) -> None:
        assert not [alias.name for alias in node.names if alias.name.startswith("lesionbench")]


def imported(file: Path) -> list[Path]:
    visitor = Imports()
    visitor.visit(ast.parse(file.read_text(encoding="utf-8")))
    return visitor.found


def closure(script: Path) -> set[Path]:
    """All modules of ours that a script may come to import."""
    found: set[Path] = set()
    todo = [script]
    while todo:
        new = [file for file in imported(todo.pop()) if file not in found and not is_exempt(file)]
        found.update(new)
        todo += new
    return found


def is_exempt(file: Path) -> bool:
    return any(file == ROOT / name or (ROOT / name) in file.parents for name in EXEMPT)


def rooms(files: set[Path]) -> Iterator[str]:
    """Package or module at the top of ours, as dvc.yaml names it."""
    for file in files:
        yield f"src/lesionbench/{file.relative_to(PACKAGE).parts[0]}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_code_that_it_imports_and_no_other(name: str) -> None:
    declared = {dep for dep in paths(STAGES[name]["deps"]) if dep.startswith(("src/", "pipeline/"))}
    (script,) = (dep for dep in declared if dep.startswith("pipeline/"))
    assert script in STAGES[name]["cmd"]
    assert declared - {script} == set(rooms(closure(ROOT / script)))


def test_every_module_belongs_to_a_stage_or_to_a_script() -> None:
    """`__main__` is the command that the package installs."""
    scripts = [*(ROOT / "pipeline").glob("*.py"), PACKAGE / "__main__.py"]
    used = {file for script in scripts for file in closure(script)} | {PACKAGE / "__main__.py"}
    unused = {file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py" and not is_exempt(file)} - used
    assert not unused


def test_a_package_that_no_stage_declares_is_a_docstring() -> None:
    """A package's `__init__` runs wherever one of its modules is imported, those of the exempt ones too."""
    for file in [PACKAGE / "__init__.py", PACKAGE / "tracking/__init__.py"]:
        (docstring,) = ast.parse(file.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr)
        assert isinstance(docstring.value, ast.Constant)


def test_what_is_exempt_is_there() -> None:
    assert all((ROOT / name).exists() for name in EXEMPT)
    assert not [dep for stage in STAGES.values() for dep in paths(stage["deps"]) if dep in EXEMPT]


@pytest.mark.parametrize("name", [name for name in STAGES if name != "report"])
def test_each_parameter_counts_in_dvc_s_run_cache(name: str) -> None:
    """DVC leaves keys named `size` and `nfiles` out of the hash by which it finds an earlier run of a stage.

    With `params: [pixels]` it took 192 px for 112 px, without a word. The report depends on results that have the
    train_key, so an earlier report of the same results is the right one.
    """
    config = read_yaml(ROOT / "params.yaml")
    for key in STAGES[name]["params"]:
        value = config
        for part in key.split("."):
            value = value[part]
        whole = stage_hash(key, value)
        for inner in value if isinstance(value, dict) else ():
            assert stage_hash(key, {**value, inner: "another"}) != whole, f"{name} must declare {key}.{inner} by name"
        assert stage_hash(key, "another") != whole


def stage_hash(key: str, value: Any) -> str:
    """The key of DVC's run cache for a stage with one parameter."""
    return _get_cache_hash({"cmd": "python", "params": {"params.yaml": {key: value}}, "outs": []}, key=True)


def test_the_hash_is_dvc_s() -> None:
    """As in dvc.lock, parameters stand under their declared names."""
    assert stage_hash("pixels", {"size": 112}) == stage_hash("pixels", {"size": 192})
    assert stage_hash("pixels.size", 112) != stage_hash("pixels.size", 192)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from lesionbench.core import files", ["core/files.py"]),
        ("from lesionbench.core.files import atomic, sha256", ["core/files.py", "core/files.py"]),
        ("def f():\n    from lesionbench import images", ["images.py"]),
        ("from lesionbench import results", ["results/__init__.py"]),
        ("if TYPE_CHECKING:\n    from lesionbench import images", []),
        ("import os\nfrom pathlib import Path", []),
    ],
)
def test_imports_are_seen_wherever_they_stand(tmp_path: Path, code: str, found: list[str]) -> None:
    (tmp_path / "code.py").write_text(code)
    assert imported(tmp_path / "code.py") == [PACKAGE / name for name in found]
