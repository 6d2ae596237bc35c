"""Codec between dataclasses and JSON: an object of the fields, under the fields' names.

``to_json`` needs no declaration. ``from_json`` reads the annotations once per class, so that ten
thousand headers cost little. A class whose JSON is not its fields writes its own ``to_json`` (and
``from_json``), which the codec calls wherever such an object lies inside another.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

T = TypeVar("T")
_Decoder: TypeAlias = Callable[[Any], Any]


class JsonFields:
    """Base of the dataclasses that are stored or printed as a JSON object of their fields."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return fields_to_json(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build an object from what ``to_json`` returned.

        Raises:
            TypeError: a field is unknown, or one without a default is missing.
            ValueError: the class refuses a value.
        """
        return fields_from_json(cls, values)


def fields_to_json(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields by name, in their order, ready for JSON or TOML.

    Dataclasses inside become objects too, tuples lists, and paths text.
    """
    return {field.name: _encode(getattr(value, field.name)) for field in dataclasses.fields(value)}


def fields_from_json(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build a dataclass from what ``fields_to_json`` returned for one.

    Lists become tuples where the field is annotated so, text paths, objects dataclasses. Plain
    values are taken as they are: what is read here carries a checksum. Settings that a person
    wrote are checked by ``cache.settings.settings_from``.

    Raises:
        TypeError: a field is unknown, one without a default is missing, or a list or object is
            something else.
        ValueError: a class refuses a value.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"expected an object with the fields of {cls.__name__}, got {values!r}")
    decoders = _decoders(cls)  # type: ignore[arg-type]  # mypy: a class is hashable
    return cls(
        **{
            name: decoders[name](value) if name in decoders else value
            for name, value in values.items()
        }
    )


def _encode(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return fields_to_json(value)
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return str(value) if isinstance(value, Path) else value


@functools.cache
def _decoders(cls: type) -> dict[str, _Decoder]:
    """Return, for the fields of a class that aren't taken as they are, how to read each."""
    hints = typing.get_type_hints(cls)
    found = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(cls)}
    return {name: decode for name, decode in found.items() if decode is not None}


def _decoder(hint: Any) -> _Decoder | None:
    """Return how to read a value of an annotation; None to take it as it is."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        others = [arg for arg in args if arg is not type(None)]
        decode = _decoder(others[0]) if len(others) == 1 else None
        return functools.partial(_optional, decode) if decode else None
    if origin is tuple:
        return functools.partial(_sequence, tuple, _decoder(args[0]))
    if origin is list:
        return functools.partial(_sequence, list, _decoder(args[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_mapping, _decoder(args[1]))
    if hint is Path:
        return Path
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        own: _Decoder | None = getattr(hint, "from_json", None)
        return own or functools.partial(fields_from_json, hint)
    return None


def _optional(decode: _Decoder, value: Any) -> Any:
    return None if value is None else decode(value)


def _sequence(kind: type, decode: _Decoder | None, value: Any) -> Any:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"expected a list, got {value!r}")
    return kind(value if decode is None else map(decode, value))


def _mapping(decode: _Decoder | None, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected an object, got {value!r}")
    return {key: item if decode is None else decode(item) for key, item in value.items()}
