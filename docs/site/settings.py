"""Reference of every setting: name, type, default and meaning, from the dataclasses themselves."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.doctor.settings import DoctorSettings
from pipeline.exchange.settings import ImportSettings
from pipeline.extract.settings import StageOneSettings
from trainer.settings import TrainSettings, load_settings
from trainer.stills.settings import DataSettings, FinetuneSettings

# Title, class, what is said before the table. Tables within them follow by themselves.
GROUPS: tuple[tuple[str, type, str], ...] = (
    (
        "Stage one",
        StageOneSettings,
        "Set by `avfuse extract --set NAME=VALUE`, or in a TOML file given as `--config`. `avfuse "
        "doctor` takes those of `faces`.",
    ),
    (
        "Heads and their training",
        TrainSettings,
        "Set by `avfuse train --set NAME=VALUE`, in a TOML file given as `--config`, or in a "
        "sweep. A preset states all of them; where the four that come with avfuse differ from the "
        "default, their values follow it.",
    ),
    (
        "Fine-tuning",
        FinetuneSettings,
        "Set by `avfuse finetune --set NAME=VALUE`, at the top level of its file.",
    ),
    ("Still images", DataSettings, "The table `data` of `avfuse finetune`: `--set data.size=96`."),
    ("Doctor", DoctorSettings, "The options of `avfuse doctor` and of its call in Python."),
    ("Imports", ImportSettings, "The options of `avfuse cache import` and of its call in Python."),
)
PRESETS = ("fast", "icmi19", "deep-fusion", "svm")


@dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        name: dotted, as ``--set`` takes it.
        kind: values that it takes, in words.
        default: its default; a table's is empty.
        meaning: its line of the class's docstring; empty where there is none.
        values: default of the field as it is in Python; ``dataclasses.MISSING`` where it has none.
    """

    name: str
    kind: str
    default: str
    meaning: str
    values: Any = None


def read_settings(cls: type, prefix: str = "") -> Iterator[Setting]:
    """Yield the settings of a class, those of the tables in it included."""
    hints = typing.get_type_hints(cls)
    meanings = read_meanings(cls)
    for field in dataclasses.fields(cls):
        hint, name = hints[field.name], f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from read_settings(hint, f"{name}.")
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown = "(required)" if default is dataclasses.MISSING else show(default)
        yield Setting(name, describe(hint), shown, meanings.get(field.name, ""), default)


def read_meanings(cls: type) -> dict[str, str]:
    """Read the sections Args and Attributes of a class's docstring, and of those it inherits."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        text = inspect.cleandoc(each.__dict__.get("__doc__") or "")
        for section in re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", text, re.M):
            for name, meaning in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.M):
                found[name] = re.sub(r"\s+", " ", meaning).replace("``", "`").strip()
    return found


def describe(hint: Any) -> str:
    """Say which values a type takes, in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args)
    if origin is tuple:
        return f"list of {describe(args[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"table of {describe(args[1])}"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return names.get(hint) or ("`none`" if hint is types.NoneType else f"{hint.__name__}")


def show(value: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(show, value))}]"
    if value == "":
        return '""'
    return "none" if value is None else str(value)


def in_presets(name: str, default: Any) -> str:
    """Name the presets that have another value than the default."""
    found = []
    for preset in PRESETS:
        value: Any = load_settings(preset)
        for part in name.split("."):
            value = getattr(value, part)
        if value != default:
            found.append(f"{preset}: `{show(value)}`")
    return "; ".join(found)


def as_cell(text: str) -> str:
    """Escape what would end a cell of a table or be taken for markup."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def write_settings() -> str:
    """Write the page in Markdown."""
    parts = [
        "# Settings\n\nEvery setting with the values that it takes, its default and its meaning, "
        "as the code states them. A file of settings is TOML: `video.set` is the key `set` of the "
        "table `[video]`.\n"
    ]
    for title, cls, text in GROUPS:
        parts.append(f"\n## {title}\n\n{text}\n\n| Setting | Values | Default | Meaning |")
        parts.append("| --- | --- | --- | --- |")
        for setting in read_settings(cls):
            default = f"`{setting.default}`" if setting.default else ""
            if cls is TrainSettings and (other := in_presets(setting.name, setting.values)):
                default += f" ({other})"
            cells = (f"`{setting.name}`", setting.kind, default, setting.meaning)
            parts.append(f"| {' | '.join(map(as_cell, cells))} |")
    return "\n".join(parts) + "\n"
