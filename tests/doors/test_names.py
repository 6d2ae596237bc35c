"""The public names of the four packages: documented, typed, imported when used, in the docs."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cache
import extractors
import pipeline
import trainer

ROOT = Path(__file__).parents[2]
PACKAGES: tuple[ModuleType, ...] = (cache, extractors, pipeline, trainer)
NAMES = [(package, name) for package in PACKAGES for name in package.__all__]
HEAVY = ("torch", "dlib", "cv2", "av", "pandas", "matplotlib", "sklearn", "scipy")
EACH = pytest.mark.parametrize(
    ("package", "name"), NAMES, ids=[f"{package.__name__}.{name}" for package, name in NAMES]
)


def callables(package: ModuleType, name: str) -> Iterator[tuple[str, Any]]:
    """A function, or what a class of ours offers to call."""
    value = getattr(package, name)
    if inspect.isfunction(value):
        yield name, value
    for method, function in vars(value).items() if inspect.isclass(value) else ():
        public = not method.startswith("_") or method in ("__init__", "__call__", "__getitem__")
        if inspect.isfunction(function) and public and function.__module__ != "dataclasses":
            yield f"{name}.{method}", function


@EACH
def test_a_public_name_is_documented_with_an_example(package: ModuleType, name: str) -> None:
    value = getattr(package, name)
    text = inspect.getdoc(value) or ""
    assert len(text) > len(name)
    if inspect.isfunction(value):
        assert "Example:\n    >>> " in text
    for of, function in callables(package, name):
        assert function.__doc__ or of.endswith("__init__"), of  # of which the class tells
        arguments = [
            argument for argument in inspect.signature(function).parameters if argument != "self"
        ]
        told = text if of.endswith("__init__") else inspect.getdoc(function) or ""
        if "Args:" in told:
            for argument in arguments:
                assert f"\n    {argument}: " in told, f"{of}: {argument} is not told of"


@EACH
def test_a_public_name_is_typed(package: ModuleType, name: str) -> None:
    for of, function in callables(package, name):
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, of
        for parameter in signature.parameters.values():
            typed = parameter.annotation is not inspect.Parameter.empty
            assert typed or parameter.name == "self", f"{of}: {parameter}"


@EACH
def test_a_public_name_is_no_module_that_would_take_its_place(
    package: ModuleType, name: str
) -> None:
    """``import pipeline.extract.plan`` sets ``pipeline.extract``, whatever it was."""
    folder = ROOT / package.__name__
    assert not (folder / name).exists()
    assert not (folder / f"{name}.py").exists()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_type_checkers_see_the_names_where_they_are(package: ModuleType) -> None:
    tree = ast.parse((ROOT / package.__name__ / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    homes = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(homes) == sorted(package.__all__)
    for name, home in homes.items():
        assert getattr(importlib.import_module(str(home)), name) is getattr(package, name)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_an_unknown_name_is_an_error_and_the_known_are_listed(package: ModuleType) -> None:
    assert dir(package) == sorted(package.__all__)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'x1'"):
        package.x1  # noqa: B018 - asking for it is the test


def test_importing_loads_nothing_and_naming_a_call_nothing_heavy() -> None:
    """Not even NumPy for the packages; a call imports what is heavy when it begins to work."""
    calls = [f"{package.__name__}.{name}" for package, name in NAMES if package is not extractors]
    calls = [call for call in calls if "import torch" not in inspect.getsource(_module_of(call))]
    assert {"trainer.train", "pipeline.extract_features", "cache.open_cache"} <= {*calls}
    code = (
        "import sys\n"
        "import cache, extractors, pipeline, trainer\n"
        "assert not {'numpy', 'h5py', 'click'} & sys.modules.keys(), 'packages'\n"
        f"{chr(10).join(calls)}\n"
        f"loaded = set({HEAVY!r}) & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def _module_of(call: str) -> ModuleType:
    package, _, name = call.partition(".")
    return importlib.import_module(getattr(importlib.import_module(package), name).__module__)


@pytest.mark.slow
def test_a_users_file_is_checked_by_mypy(tmp_path: Path) -> None:
    """Every name has its type, and a wrong name, argument or type is an error."""
    wrong = {
        "trainer.tarin": 'Module has no attribute "tarin"',
        "trainer.evaluate('R', epochs=3)": 'Unexpected keyword argument "epochs"',
        "cache.open_cache(3)": 'incompatible type "int"',
        "pipeline.extract_features('m.csv', cache='C').fialed": 'has no attribute "fialed"',
        "extractors.load_network('ir50')([1])": 'incompatible type "list[int]"',
    }
    file = tmp_path / "user.py"
    lines = [
        "from pathlib import Path",
        *(f"import {package.__name__}" for package in PACKAGES),
        *(f"from {package.__name__} import {name}" for package, name in NAMES),
        "rows = len(cache.open_cache(Path('C')).features('resnet18')['clip'].times)",
        "label: int = trainer.Dataset('m.csv', cache='C', sets={'video': 'resnet18'})[0].label",
        "clips: tuple[str, ...] = trainer.collate([]).clips",
        "accuracy = trainer.train('m.csv', cache='C', run=Path('R')).metrics['all']",
        *wrong,
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml", file],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        timeout=240,
    )
    said = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(said) == len(wrong), done.stdout + done.stderr
    for line, message in zip(said, wrong.values(), strict=True):
        assert message in line
