"""What code means: unchanged by what only people read, changed by everything that could change a result."""

import ast
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionbench.core import meaning

SOURCES = {
    "__init__.py": '"""A package."""\n',
    "start.py": '''
        """Where it starts."""

        from __future__ import annotations

        import json
        import numpy as np
        from typing import TYPE_CHECKING

        from synthetic.deep import constants, shapes
        from synthetic.helpers import registered, scale as scaled

        if TYPE_CHECKING:
            from synthetic.kinds import Kind

        LIMIT = 3
        UNUSED = 1


        def start(x: int, factor: float = 2.0, *, shift: int = 1) -> float:
            """Start."""
            from synthetic.late import finish

            # A comment.
            total: float = scaled(x) * factor + constants.OFFSET
            return finish(total) + LIMIT + shift + shapes.Square(2).area() + np.abs(-1)


        def aside(kind: Kind) -> str:
            return json.dumps(UNUSED)


        def everything() -> object:
            return registered(constants)
        ''',
    "helpers.py": """
        import functools

        from synthetic import tables

        TABLE = {}


        def scale(value):
            return value * TABLE["scale"] * _twice(1)


        def unreached(value):
            return value


        @functools.cache
        def _twice(value):
            return 2 * value


        def registered(value):
            return value


        TABLE["scale"] = tables.SCALE
        for name in ("a", "b"):
            TABLE[name] = 5
        """,
    "tables.py": "SCALE = 7\nOTHER = 8\n",
    "late.py": "def finish(value):\n    return round(value, 2)\n",
    "kinds.py": "class Kind:\n    size = 1\n",
    "deep/__init__.py": "",
    "deep/constants.py": "OFFSET = 10\nNOT_NAMED = 11\n",
    "deep/shapes.py": '''
        from dataclasses import dataclass

        from synthetic.kinds import Kind
        from synthetic.deep.decorators import traced


        @dataclass
        class Square(Kind):
            """A square."""

            side: float
            colour: str = "red"

            @traced
            def area(self) -> float:
                """Area."""
                return self._power(2)

            def _power(self, exponent):
                return self.side ** exponent
        ''',
    "deep/decorators.py": "def traced(function):\n    return function\n",
}
START = "synthetic.start.start"


class Package:
    """A package of ours in a folder, whose files a test changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in SOURCES.items():
            self.write(name, textwrap.dedent(text).lstrip())

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        self.write(name, text.replace(old, new))

    def meaning(self, function: str = START) -> str:
        forget()
        return meaning.of(function)


def forget() -> None:
    meaning.of.cache_clear()
    meaning.read.cache_clear()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path, str], None]]:
    """Makes a folder the package whose code has a meaning; in the end it is our own again."""

    def at(folder: Path, name: str) -> None:
        monkeypatch.setattr(meaning, "PACKAGE", name)
        monkeypatch.setattr(meaning, "ROOT", folder)
        forget()

    yield at
    monkeypatch.undo()
    forget()


@pytest.fixture
def package(tmp_path: Path, place: Callable[[Path, str], None]) -> Package:
    place(tmp_path / "synthetic", "synthetic")
    return Package(tmp_path / "synthetic")


NEUTRAL = {
    "comment": ("start.py", "# A comment.", "# Another comment, in\n    # two lines."),
    "no comment": ("deep/shapes.py", "@traced\n", "@traced  # said aloud\n"),
    "docstring of a module": ("start.py", "Where it starts.", "Here it starts."),
    "docstring of a function": ("start.py", '    """Start."""\n', ""),
    "docstring of a class": ("deep/shapes.py", "A square.", "Four equal sides."),
    "docstring of a method": ("deep/shapes.py", '        """Area."""\n', ""),
    "annotation of a parameter": ("start.py", "x: int", "x"),
    "annotation of a result": ("start.py", ") -> float:", ") -> 'float | int':"),
    "annotation of a variable": ("start.py", "total: float =", "total ="),
    "formatting": ("start.py", "scaled(x) * factor + constants.OFFSET", "(scaled( x )*factor) + \\\n constants.OFFSET"),
    "quotes": ("helpers.py", 'return value * TABLE["scale"]', "return value * TABLE['scale']"),
    "blank lines": ("late.py", "def finish", "\n\n\n\ndef finish"),
    "constant that is not named": ("start.py", "UNUSED = 1", "UNUSED = 2"),
    "new constant": ("start.py", "UNUSED = 1", "UNUSED = 1\nMORE = 2"),
    "function that is not reached": (
        "helpers.py",
        "def unreached(value):\n    return",
        "def unreached(x):\n    return -",
    ),
    "constant of another module that is not named": ("deep/constants.py", "NOT_NAMED = 11", "NOT_NAMED = 12"),
    "import that is not used": ("start.py", "import json\n", "import json\nimport sys\n"),
    "import for types": ("start.py", "from synthetic.kinds import Kind", "from synthetic.kinds import Other as Kind"),
    "order of definitions": ("start.py", "LIMIT = 3\nUNUSED = 1\n", "UNUSED = 1\nLIMIT = 3\n"),
}
TELLING = {
    "constant": ("start.py", "LIMIT = 3", "LIMIT = 4"),
    "type of a constant": ("start.py", "LIMIT = 3", "LIMIT = 3.0"),
    "truth of a constant": ("deep/constants.py", "OFFSET = 10", "OFFSET = True"),
    "default": ("start.py", "factor: float = 2.0", "factor: float = 2.5"),
    "default of a keyword": ("start.py", "shift: int = 1", "shift: int = 2"),
    "no default": ("start.py", "shift: int = 1", "shift: int"),
    "name of a parameter": ("start.py", "factor: float = 2.0", "times: float = 2.0"),
    "operator": ("start.py", "+ LIMIT", "- LIMIT"),
    "helper by its name": ("helpers.py", 'return value * TABLE["scale"]', 'return value / TABLE["scale"]'),
    "helper of a helper": ("helpers.py", "return 2 * value", "return 3 * value"),
    "decorator that is taken off": ("helpers.py", "@functools.cache\n", ""),
    "decorator's own code": ("deep/decorators.py", "return function", "return lambda *a: function(*a)"),
    "attribute of a module": ("deep/constants.py", "OFFSET = 10", "OFFSET = 12"),
    "attribute of a module, through a constant": ("tables.py", "SCALE = 7", "SCALE = 8"),
    "import inside a function": ("late.py", "round(value, 2)", "round(value, 3)"),
    "method": ("deep/shapes.py", "self._power(2)", "self._power(3)"),
    "method that a method calls": ("deep/shapes.py", "** exponent", "* exponent"),
    "default of a field": ("deep/shapes.py", '"red"', '"blue"'),
    "type of a field": ("deep/shapes.py", "side: float", "side: int"),
    "base of a class": ("kinds.py", "size = 1", "size = 2"),
    "loop at the top of a module": ("helpers.py", "TABLE[name] = 5", "TABLE[name] = 6"),
    "statement at the top of a module": ("tables.py", "SCALE = 7", "print('seen')\nSCALE = 7"),
    "later change of a constant": ("helpers.py", 'TABLE["scale"] = tables.SCALE', 'TABLE["scale"] = 9'),
    "import from elsewhere": ("start.py", "import numpy as np", "import cupy as np"),
    "import of another name": ("deep/shapes.py", "import traced", "import Traced as traced"),
    "import of another helper": ("start.py", "scale as scaled", "unreached as scaled"),
    "string": ("helpers.py", 'return value * TABLE["scale"]', 'return value * TABLE["a"]'),
}


@pytest.mark.parametrize("change", NEUTRAL.values(), ids=NEUTRAL)
def test_what_only_people_read_changes_no_meaning(package: Package, change: tuple[str, str, str]) -> None:
    before = package.meaning()
    package.change(*change)
    assert package.meaning() == before


@pytest.mark.parametrize("change", TELLING.values(), ids=TELLING)
def test_what_could_change_a_result_changes_the_meaning(package: Package, change: tuple[str, str, str]) -> None:
    before = package.meaning()
    package.change(*change)
    assert package.meaning() != before


@given(neutral=st.sets(st.sampled_from(sorted(NEUTRAL))), telling=st.none() | st.sampled_from(sorted(TELLING)))
def test_any_changes_together_tell_if_one_of_them_tells(
    tmp_path_factory: pytest.TempPathFactory, neutral: set[str], telling: str | None
) -> None:
    folder = tmp_path_factory.mktemp("any") / "synthetic"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meaning, "PACKAGE", "synthetic")
        patch.setattr(meaning, "ROOT", folder)
        package = Package(folder)
        before = package.meaning()
        # The one that tells comes first: what it looks for is still there.
        changes = [TELLING[telling]] if telling else []
        for name, old, new in [*changes, *(NEUTRAL[name] for name in sorted(neutral))]:
            if old in (folder / name).read_text(encoding="utf-8"):
                package.change(name, old, new)
        assert (package.meaning() != before) == (telling is not None)
    forget()


PAIRS = {
    "order of operands": ("return a - b", "return b - a"),
    "argument by name": ("return f(a)", "return f(x=a)"),
    "list and tuple": ("return [a, b]", "return (a, b)"),
    "slice": ("return a[1:]", "return a[:1]"),
    "number and its text": ("return 1", "return '1'"),
    "branch": ("if a:\n    return b\nreturn a", "if b:\n    return b\nreturn a"),
    "else": ("if a:\n    b = 1\nelse:\n    b = 2\nreturn b", "if a:\n    b = 1\n    b = 2\nreturn b"),
    "loop with else": (
        "for a in b:\n    pass\nelse:\n    return a\nreturn b",
        "for a in b:\n    return a\nreturn b",
    ),
    "raise from": ("raise a from b", "raise b from a"),
    "star": ("return f(*a)", "return f(**a)"),
    "format": ("return f'{a:.2f}'", "return f'{a:.3f}'"),
    "conversion": ("return f'{a!r}'", "return f'{a!s}'"),
    "await": ("return await a", "return a"),
    "chained comparison": ("return a < b < 1", "return a < b and 1"),
}


def body_meaning(package: Package, body: str, signature: str = "a, b") -> str:
    lines = textwrap.indent(body, "    ")
    package.write("one.py", f"async def one({signature}):\n{lines}\n")
    return package.meaning("synthetic.one.one")


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_two_bodies_that_do_different_things_differ(package: Package, one: str, other: str) -> None:
    assert body_meaning(package, one) != body_meaning(package, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("return {'a': a, **b}", "a, b"), ("return {**a, 'a': b}", "a, b")),
        (("return a", "*, a, b=1"), ("return a", "*, a=1, b")),
        (("return b'a'", "a"), ("return \"b'a'\"", "a")),
    ],
)
def test_bodies_that_differ_in_a_corner_differ(package: Package, one: tuple[str, str], other: tuple[str, str]) -> None:
    assert body_meaning(package, *one) != body_meaning(package, *other)


def test_a_type_in_a_function_s_variable_means_nothing(package: Package) -> None:
    assert body_meaning(package, "c: int = a\nreturn c") == body_meaning(package, "c = a\nreturn c")
    assert body_meaning(package, "c: int\nc = a\nreturn c") == body_meaning(package, "c = a\nreturn c")


def test_a_module_that_is_handed_on_means_all_of_it(package: Package) -> None:
    before = package.meaning("synthetic.start.everything")
    package.change("deep/constants.py", "NOT_NAMED = 11", "NOT_NAMED = 12")
    assert package.meaning("synthetic.start.everything") != before


def test_functions_that_call_each_other_come_to_an_end(package: Package) -> None:
    package.write("one.py", "from synthetic.two import b\ndef a(n):\n    return n and b(n - 1)\n")
    package.write("two.py", "from synthetic.one import a\ndef b(n):\n    return n and a(n - 1)\n")
    before = package.meaning("synthetic.one.a")
    package.change("two.py", "n - 1", "n - 2")
    assert package.meaning("synthetic.one.a") != before


def test_a_name_that_a_package_hands_on_is_followed(package: Package) -> None:
    package.write("deep/__init__.py", "from synthetic.deep.constants import OFFSET\n")
    package.write("one.py", "from synthetic.deep import OFFSET\ndef a():\n    return OFFSET\n")
    before = package.meaning("synthetic.one.a")
    package.change("deep/constants.py", "OFFSET = 10", "OFFSET = 11")
    assert package.meaning("synthetic.one.a") != before


def test_a_constant_and_a_class_have_a_meaning_too(package: Package) -> None:
    assert len({package.meaning(f"synthetic.{name}") for name in ("start.LIMIT", "tables.SCALE", "kinds.Kind")}) == 3


@pytest.mark.parametrize(
    "name", ["synthetic.start.stop", "synthetic.nowhere.start", "numpy.abs", "synthetic.start", "other.start.start"]
)
def test_what_is_not_there_has_no_meaning(package: Package, name: str) -> None:
    with pytest.raises(ValueError, match=f"there is no {name}"):
        package.meaning(name)


def test_no_module_is_imported_to_tell_a_meaning(package: Package) -> None:
    package.write("one.py", "raise RuntimeError('imported')\ndef a():\n    return 1\n")
    assert len(package.meaning("synthetic.one.a")) == 64


# The functions of our own whose results are kept, what they reach, and what they do not.
KEPT = {
    "lesionbench.learn.training.make": (
        (
            "learn/augment.py:KerasAffine",
            "learn/augment.py:keras_matrix",
            "learn/batches.py:EpochBatches",
            "learn/callbacks.py:History",
            "learn/callbacks.py:Patience",
            "learn/losses.py:weighted",
            "learn/classifier.py:Classifier",
            "networks/backbones.py:_replace_heads",
            "networks/backbones.py:normalise",
            "networks/coding.py:DROP_EACH",
            "networks/coding.py:REGIONS",
            "networks/metadata.py:MetadataHead",
            "networks/model_file.py:save_model",
            "core/tasks.py:labels",
        ),
        (
            "learn/augment.py:compile_policy",
            "learn/finished.py:remove_unused",
            "learn/preview.py:draw_sheet",
            "networks/model_file.py:load_model",
            "networks/predict.py:predict",
            "core/cache.py:key",
            "core/meaning.py:of",
            "params.py:Train",
            "tracking/runs.py:TrainingRun",
        ),
    ),
    "lesionbench.hair.remove.without_hair": (
        (
            "hair/fill.py:_relax",
            "hair/fill.py:fill_hair",
            "hair/find.py:find_hair",
            "hair/find.py:_follow",
            "hair/remove.py:JPEG",
            "hair/remove.py:hair_mask",
            "images.py:encode",
            "images.py:read_rgb",
        ),
        (
            "hair/remove.py:remove_hair",
            "hair/remove.py:draw_sheet",
            "hair/remove.py:COVERAGE",
            "images.py:square",
            "core/parallel.py:for_each",
            "figures.py:sheet",
            "params.py:Hair",
        ),
    ),
    "lesionbench.duplicates.search.find": (
        (
            "duplicates/search.py:align",
            "duplicates/search.py:verify",
            "duplicates/features.py:describe_grey",
            "duplicates/features.py:FEATURES",
            "images.py:read_rgb",
        ),
        ("duplicates/search.py:find_cached", "images.py:encode", "params.py:Duplicates", "duplicates/pairs.py:draw"),
    ),
}


class Planted(ast.NodeTransformer):
    """Puts a statement into one function or class, or adds one to what a constant is."""

    def __init__(self, name: str) -> None:
        self.name, self.done = name, False

    def visit_Module(self, node: ast.Module) -> ast.Module:
        for i, each in enumerate(node.body):
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == self.name:
                each.body.append(ast.parse("planted = 1").body[0])
                self.done = True
            elif isinstance(each, ast.Assign | ast.AnnAssign) and self.name in ast.unparse(each).partition("=")[0]:
                node.body[i] = ast.parse(f"{self.name} = planted").body[0]
                self.done = True
        return node


@pytest.fixture
def own(tmp_path: Path, place: Callable[[Path, str], None]) -> Package:
    """A copy of our own code that says no more than Python hears: no comments, no formatting, no docstrings."""
    package = Package.__new__(Package)
    package.folder = tmp_path / "lesionbench"
    original = meaning.ROOT
    for path in original.rglob("*.py"):
        package.write(path.relative_to(original).as_posix(), path.read_text(encoding="utf-8"))
    place(package.folder, "lesionbench")
    return package


@pytest.mark.parametrize(
    ("function", "target", "reached"),
    [
        (function, target, reached)
        for function, (near, far) in KEPT.items()
        for targets, reached in ((near, True), (far, False))
        for target in targets
    ],
)
def test_a_kept_result_depends_on_what_makes_it_alone(own: Package, function: str, target: str, reached: bool) -> None:
    before = own.meaning(function)
    path, _, name = target.partition(":")
    planted = Planted(name)
    tree = planted.visit(ast.parse((own.folder / path).read_text(encoding="utf-8")))
    assert planted.done, f"there is no {target}"
    own.write(path, ast.unparse(tree))
    assert (own.meaning(function) != before) is reached


def test_our_code_without_its_comments_means_the_same(own: Package) -> None:
    """Our code without comments and docstrings means the same."""
    before = {function: own.meaning(function) for function in KEPT}
    for path in own.folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.parse("'Another docstring.'").body[0]]
            if isinstance(node, ast.FunctionDef):
                node.returns = None
                for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                    argument.annotation = None
        path.write_text(f"# Another comment.\n{ast.unparse(tree)}\n", encoding="utf-8")
    assert {function: own.meaning(function) for function in KEPT} == before


def test_every_function_whose_result_is_kept_is_named_here() -> None:
    named, called = set(), 0
    for path in meaning.ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "cache.key":
                called += 1
                assert ast.unparse(node.args[0]) == "CACHED"
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CACHED":
                named.add(ast.literal_eval(node.value))
    assert named == set(KEPT)
    assert called == len(named)


def test_our_code_is_imported_in_the_ways_that_are_followed() -> None:
    """`import lesionbench.x` and `from . import x` would reach code that no meaning covers."""
    for path in meaning.ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not [a.name for a in node.names if a.name.startswith("lesionbench")], path
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                assert [a.name for a in node.names] != ["*"], path
