"""Codec between dataclasses and JSON: an object of the fields, under the fields' names.

``to_json`` needs no declaration. ``from_json`` reads the annotations once per class, so that ten
thousand headers cost little, and believes nothing: what a file holds may be damaged, or forged with
a valid checksum. A class whose JSON is not its fields writes its own ``to_json`` (and
``from_json``), which the codec calls wherever such an object lies inside another.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import reprlib
import stat
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self, TypeVar

from cache.commit import named_errors

T = TypeVar("T")
# Metadata of a dataclass's field that older files don't have: at its default it isn't written, so
# that they, and digests of them, stay the same.
ADDED = {"added": True}
MOST_BYTES = 256 << 20  # of a JSON file or a table; a run of a million clips has less
_is_64_bit = range(-(1 << 63), 1 << 63).__contains__  # whole numbers fit everywhere


class JsonFields:
    """Base of the dataclasses that are stored or printed as a JSON object of their fields."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return fields_to_json(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build an object from what ``to_json`` returned; see ``fields_from_json``.

        Raises:
            TypeError: a field is unknown, missing or of another type; says which.
            ValueError: the class refuses a value.
        """
        return fields_from_json(cls, values)


def fields_to_json(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields by name, in their order, ready for JSON or TOML.

    Dataclasses inside become objects too, tuples lists, and paths text; fields that are ``ADDED``
    are left out at their default.
    """
    found = {}
    for field in dataclasses.fields(value):
        own = getattr(value, field.name)
        if not (field.metadata.get("added") and own == field.default):
            found[field.name] = _encode(own)
    return found


def fields_from_json(cls: type[T], values: object) -> T:
    """Build a dataclass from what ``fields_to_json`` returned for one, or anything else.

    Every value is checked against its field's annotation, to the bottom: whole numbers have 64
    bits, others are finite. Lists become tuples where the field is annotated so, text paths,
    objects dataclasses. Settings that a person wrote are checked by
    ``cache.settings.settings_from``.

    Raises:
        TypeError: a field is unknown, missing or of another type; says which.
        ValueError: a class refuses a value.
    """
    if type(values) is not dict and not isinstance(values, Mapping):
        _refuse(values, f"an object with the fields of {cls.__name__}")
    fields = _fields(cls)  # type: ignore[arg-type]  # mypy: a class is hashable
    found: dict[str, Any] = {}
    name = ""
    try:
        for name, value in values.items():
            read = fields.readers.get(name)
            if read is None:
                break
            found[name] = read(value)
    except _MismatchError as error:
        raise error.inside(name) from None
    if len(found) < len(values):
        raise _MismatchError("", f" has the unknown field {name!r}")
    if not found.keys() >= fields.needed.keys():
        name = next(name for name in fields.needed if name not in found)
        raise _MismatchError(name, f" is missing, expected {fields.needed[name]}")
    return cls(**found)


def read_field(values: Mapping[str, Any], name: str, hint: Any) -> Any:
    """Return one field of a JSON object, checked against a type like those of dataclasses.

    Raises:
        TypeError: it is missing or of another type.
    """
    expected = _type(hint)
    if name not in values:
        raise _MismatchError(name, f" is missing, expected {expected.expected}")
    try:
        return expected.read(values[name])
    except _MismatchError as error:
        raise error.inside(name) from None


def parse_json(text: str | bytes) -> Any:
    """Read a JSON value.

    Raises:
        ValueError: it isn't JSON (nan and infinity are not), or is nested too deep.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("not JSON: it is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: it isn't JSON, see ``parse_json``, or no object.
    """
    values = parse_json(text)
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, got {reprlib.repr(values)}")
    return values


def read_object(path: Path, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no JSON object; or see ``read_limited``.
        OSError: it can't be read.
    """
    return parse_object(read_limited(path, most_bytes=most_bytes))


def read_limited(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a file; what is no file or too long is not read.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no regular file, or longer than ``most_bytes``.
        OSError: it can't be read.
    """
    with named_errors(path):
        # A pipe would block until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)  # before ``fdopen``, which calls a folder by this number
            raise ValueError("it is not a file")
        with os.fdopen(descriptor, "rb") as file:
            if status.st_size > most_bytes:
                raise ValueError(f"it has {status.st_size} bytes, expected at most {most_bytes}")
            return file.read(most_bytes)


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


class _MismatchError(TypeError):
    """A value of another type than expected, and where it is in what was read."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where = where
        self.what = what

    def __str__(self) -> str:
        return (self.where or "the record") + self.what

    def inside(self, outer: str) -> _MismatchError:
        """Return it as seen from what holds the value."""
        joined = f"{outer}.{self.where}" if self.where[:1].isalpha() else outer + self.where
        return _MismatchError(joined, self.what)


class _Type(NamedTuple):
    """A type of JSON values: its name in errors, and how one is read and checked."""

    expected: str
    read: Callable[[Any], Any]


class _Fields(NamedTuple):
    """Fields of a dataclass: how each is read, and what those without a default must be."""

    readers: dict[str, Callable[[Any], Any]]
    needed: dict[str, str]


@functools.cache
def _fields(cls: type) -> _Fields:
    """Return how to read a dataclass's fields."""
    hints = typing.get_type_hints(cls)
    kinds = {field: _type(hints[field.name]) for field in dataclasses.fields(cls)}
    needed = {
        field.name: kind.expected
        for field, kind in kinds.items()
        if field.default is field.default_factory is dataclasses.MISSING
    }
    return _Fields({field.name: kind.read for field, kind in kinds.items()}, needed)


@functools.cache
def _type(hint: Any) -> _Type:
    """Return how to read a value of an annotation."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Path:
        text = _plain("a path", str, lambda text: "\0" not in text)
        return _Type(text.expected, lambda value: Path(text.read(value)))
    if hint in _PLAIN:
        return _plain(*_PLAIN[hint])
    if origin is typing.Literal:
        return _plain(" or ".join(map(repr, args)), str, args.__contains__)
    if origin in (typing.Union, types.UnionType):
        return _any_of([_type(arg) for arg in args if arg is not type(None)], type(None) in args)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _object_of(_type(args[1]))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _list_of(tuple if origin is tuple else list, _type(args[0]))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    return _Type("a value", lambda value: value)


_PLAIN: dict[Any, tuple[str, type, Callable[[Any], bool] | None]] = {
    bool: ("true or false", bool, None),
    int: ("a whole number", int, _is_64_bit),
    float: ("a finite number", float, math.isfinite),
    str: ("a text", str, None),
}


def _plain(expected: str, kind: type, fits: Callable[[Any], bool] | None) -> _Type:
    def read(value: Any) -> Any:
        # Not isinstance: true is no number here. A float may stand without its point.
        if type(value) is kind and (fits is None or fits(value)):
            return value
        if kind is float and type(value) is int and _is_64_bit(value):
            return value
        _refuse(value, expected)

    return _Type(expected, read)


def _any_of(kinds: Sequence[_Type], optional: bool) -> _Type:
    expected = " or ".join([*(kind.expected for kind in kinds), *["null"] * optional])

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        for kind in kinds:
            try:
                return kind.read(value)
            except _MismatchError as error:
                if error.where and len(kinds) == 1:
                    raise  # it says more
        _refuse(value, expected)

    return _Type(expected, read)


def _object_of(item: _Type) -> _Type:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict and not isinstance(value, Mapping):
            _refuse(value, "an object")
        found = dict[str, Any]()
        key: Any = None
        try:
            for key, one in value.items():
                found[key] = item.read(one)
        except _MismatchError as error:
            raise error.inside(f"[{key!r}]") from None
        return found

    return _Type("an object", read)


def _list_of(kind: type, item: _Type) -> _Type:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            _refuse(value, "a list")
        found: list[Any] = []
        try:
            for one in value:
                found.append(item.read(one))
        except _MismatchError as error:
            raise error.inside(f"[{len(found)}]") from None
        return kind(found)

    return _Type("a list", read)


def _dataclass(cls: type) -> _Type:
    own = getattr(cls, "from_json", None)
    inherited = getattr(own, "__func__", None) is vars(JsonFields)["from_json"].__func__
    build = functools.partial(fields_from_json, cls) if own is None or inherited else own

    def read(value: Any) -> Any:
        # JSON holds no object: whoever reads the rest has made it.
        return value if isinstance(value, cls) else build(value)

    return _Type(f"an object with the fields of {cls.__name__}", read)


def _refuse(value: object, expected: str) -> NoReturn:
    raise _MismatchError("", f" is {reprlib.repr(value)}, expected {expected}")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
