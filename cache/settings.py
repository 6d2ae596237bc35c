"""Settings: frozen dataclasses, read from TOML and ``key=value``, checked, and written as TOML.

An unknown key is refused with the nearest known one; ``check_at_least`` and ``check_shares`` are
the range checks that classes make of their own fields.

A settings class stands beside what it configures and is the only place that states a default.
Nested settings are fields whose type is another settings class.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

# Dotted keys cost tomllib the square of their length: 40,000 parts take minutes.
MAX_TOML_BYTES = 200_000
MAX_TOML_LINE = 2_000
MAX_INT = 2**53  # what JSON readers of any kind read exactly
T = TypeVar("T")
# Settings over others: as a command line has them, or a name to each value, as Python has them.
Overrides: TypeAlias = Sequence[str] | Mapping[str, Any]


class SettingsError(ValueError):
    """A setting is unknown, of another type than declared, or refused by its class."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into nested dicts.

    Raises:
        SettingsError: the file can't be read, is larger than ``MAX_TOML_BYTES``, has a line longer
            than ``MAX_TOML_LINE``, is nested too deeply or not TOML.
    """
    if not path.is_file():
        raise SettingsError(f"{path} is not a file; expected a TOML file of settings")
    size = path.stat().st_size
    if size > MAX_TOML_BYTES:
        raise SettingsError(
            f"{path} has {size} bytes; a settings file has at most {MAX_TOML_BYTES}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        longest = max(map(len, text.splitlines()), default=0)
        if longest > MAX_TOML_LINE:
            raise SettingsError(
                f"{path} has a line of {longest} characters; a settings file has lines of at most "
                f"{MAX_TOML_LINE}"
            )
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def listed(values: str | Iterable[str]) -> list[str]:
    """Return texts as a list; a text alone is a list of one, not of its letters."""
    return [values] if isinstance(values, str) else list(values)


def check_counts(**counts: int | None) -> None:
    """Refuse arguments that are no whole numbers from 1 on; None leaves the choice open.

    Raises:
        SettingsError: names the argument.
    """
    for name, count in counts.items():
        if count is not None and (type(count) is not int or count < 1):
            raise SettingsError(f"{name} must be a whole number from 1 on, got {count!r}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse an argument that is none of the choices.

    Raises:
        SettingsError: names them.
    """
    known = tuple(choices)
    if value not in known:
        raise SettingsError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def parse_overrides(overrides: Overrides) -> dict[str, Any]:
    """Turn ``["video.set=ir50", "optim.epochs=20"]`` into nested dicts.

    A value is read as TOML where it is one (numbers, booleans, lists, quoted strings) and as a
    plain string otherwise, so that ``video.set=resnet18`` needs no quotes. From Python,
    ``{"video.set": "ir50", "optim.epochs": 20}`` says the same, its values taken as they are.

    Raises:
        SettingsError: an override has no ``=``, an empty key, or contradicts another.
    """
    if isinstance(overrides, Mapping):
        given = [(key, key, copy.deepcopy(value)) for key, value in overrides.items()]
    else:
        given = [(override, *_parse_override(override)) for override in listed(overrides)]
    result: dict[str, Any] = {}
    for override, key, value in given:
        parts = key.strip().split(".")
        if not all(parts):
            raise _no_setting(override)
        table = result
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{override!r} sets a key inside {part!r}, which has a value")
        table[parts[-1]] = value
    return result


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals:
        raise _no_setting(override)
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key, text


def _no_setting(override: str) -> SettingsError:
    return SettingsError(f"{override!r} is not a setting; write it as name.of.setting=value")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, tables merged key by key."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merge(below, value)
        else:
            result[key] = value
    return result


def settings_from(cls: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """Build a settings dataclass from nested dicts.

    Args:
        cls: the frozen dataclass.
        values: one value per field to change; fields left out keep their default.
        where: dotted name of the table, for messages.

    Raises:
        SettingsError: an unknown key (the nearest known one is named), a value of another type
            than the field's, or a value that the class itself refuses.
    """
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # any dataclass
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if key not in known:
            inside = [part for part in value if part in known] if isinstance(value, Mapping) else []
            near = inside or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {where}{near[0]}?" if near else "."
            raise SettingsError(f"unknown setting {name}{hint} Known here: {', '.join(known)}")
        arguments[key] = _convert(hints[key], value, name)
    try:
        return cls(**arguments)
    except SettingsError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise SettingsError(f"{where.rstrip('.')}: {error}" if where else str(error)) from error


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Check ``value`` against the annotation ``hint``; ints become floats, lists tuples."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        rest = [arg for arg in args if arg is not type(None)]
        if value in ("none", "") and type(None) in args and str not in rest:
            return None
        if len(rest) == 1:
            return _convert(rest[0], value, name)
        for arg in rest:
            try:
                return _convert(arg, value, name)
            except SettingsError:
                continue
    elif origin is Literal:
        if value in args and type(value) in {type(arg) for arg in args}:
            return value
        raise SettingsError(f"{name} must be one of {', '.join(map(str, args))}, got {value!r}")
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_convert(args[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return settings_from(hint, value, where=f"{name}.")
        if isinstance(value, hint):
            return value
        first = dataclasses.fields(hint)[0].name
        raise SettingsError(
            f"{name} is a group of settings; set one of them, such as {name}.{first}, "
            f"instead of {value!r}"
        )
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _finite(value, name)
    elif hint is int:
        if type(value) is int:
            if abs(value) > MAX_INT:
                raise SettingsError(f"{name} must be from -{MAX_INT} to {MAX_INT}")
            return value
    elif hint is bool or hint is str:
        if type(value) is hint:
            return value
    else:
        return value
    readable = getattr(hint, "__name__", str(hint))
    raise SettingsError(f"{name} must be of type {readable}, got {value!r}")


def _finite(value: float, name: str) -> float:
    """Refuse numbers that no key can be made of."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SettingsError(f"{name} must be a finite number, got {number}")
    return number


def check_at_least(least: float, settings: object, *names: str) -> None:
    """Refuse settings below ``least``.

    Raises:
        ValueError: one of the fields named is.
    """
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(settings, name)}")


def check_shares(settings: object, *names: str) -> None:
    """Refuse settings that aren't at least 0 and below 1.

    Raises:
        ValueError: one of the fields named isn't.
    """
    for name in names:
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise ValueError(
                f"{name} must be at least 0 and below 1, got {getattr(settings, name)}"
            )
