"""Reference of the public names of the four packages, for mkdocstrings to fill in."""

from __future__ import annotations

import importlib
import inspect

PACKAGES = ("cache", "extractors", "pipeline", "trainer")


def write_python() -> str:
    """Write the page in Markdown: for each package, its docstring's place and its public names."""
    parts = [
        "# Python\n\nThe commands are short calls of these. Importing a package loads nothing; a "
        "name loads what it needs when it is used.\n"
    ]
    for package in PACKAGES:
        module = importlib.import_module(package)
        parts.append(f"\n## {package}\n\n{inspect.cleandoc(module.__doc__ or '')}\n")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            parts.append(f"::: {value.__module__}.{value.__qualname__}\n")
    return "\n".join(parts) + "\n"
