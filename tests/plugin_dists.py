"""Installed distributions that offer plug-ins, written by hand where pip would put them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

_numbers = itertools.count()


def install(
    site: Path, name: str, source: str, entries: Mapping[str, Mapping[str, str]], version: str = "1"
) -> str:
    """Write a distribution of one module; return the module's name, which no other has.

    Args:
        site: a folder on the path, or one that will be.
        name: of the distribution.
        source: of its module.
        entries: group to name to attribute of the module.
        version: of the distribution.
    """
    module = f"plugged_{next(_numbers)}"
    facts = site / f"{name.replace('-', '_')}-{version}.dist-info"
    facts.mkdir(parents=True)
    (site / f"{module}.py").write_text(source)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = [
        "\n".join(
            [f"[{group}]", *(f"{entry} = {module}:{value}" for entry, value in offered.items())]
        )
        for group, offered in entries.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(groups) + "\n")
    return module
