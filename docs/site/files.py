"""Reference of every file of JSON that avfuse writes, from the schemas in ``docs/schemas``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.site.settings import as_cell

SCHEMAS = Path(__file__).parents[1] / "schemas"
HEAD = Path(__file__).with_name("files.md")


def write_files() -> str:
    """Write the page in Markdown: the tables of CSV files, then a section for each schema."""
    parts = [HEAD.read_text(encoding="utf-8")]
    for path in sorted(SCHEMAS.glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        parts.append(f"\n## {schema['title']}\n\n{schema['description']}\n")
        version = f", {schema['$comment']}" if "$comment" in schema else ""
        parts.append(f"Schema: [{path.name}](../schemas/{path.name}){version}.\n")
        parts.append("| Key | Values | Meaning |\n| --- | --- | --- |")
        parts += describe(schema, schema)
    return "\n".join(parts) + "\n"


def describe(schema: Mapping[str, Any], whole: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """Yield a row for every key below a schema; ``*`` stands for any key, ``[]`` for an item."""
    schema = resolve(schema, whole)
    for key, value in schema.get("properties", {}).items():
        if isinstance(value, bool):  # stated elsewhere
            continue
        yield from describe_key(f"{name}{key}", value, whole)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from describe_key(f"{name}*", schema["additionalProperties"], whole)
    for form in schema.get("oneOf", ()):
        yield from describe(form, whole, name)


def describe_key(name: str, value: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    """Yield the row of one key and those below it."""
    value = resolve(value, whole)
    cells = (f"`{name}`", describe_values(value), value.get("description", ""))
    yield f"| {' | '.join(map(as_cell, cells))} |"
    yield from describe(value, whole, f"{name}.")
    if "items" in value:
        yield from describe(value["items"], whole, f"{name}[].")


def describe_values(value: Mapping[str, Any]) -> str:
    """Say which values a key takes."""
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{json.dumps(each)}`" for each in value["enum"])
    kinds = value.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(kinds)


def resolve(value: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference to ``$defs`` of the same schema."""
    if "$ref" in value:
        named: Mapping[str, Any] = whole["$defs"][value["$ref"].removeprefix("#/$defs/")]
        return {**named, **value}
    return value
