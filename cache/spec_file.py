"""The file ``set.json`` of a feature set: its spec and provenance, readable and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.commit import make_folder, write_error, write_text
from cache.digest import JSON, digest_json
from cache.failure import utc_now
from cache.sealed import LAYOUT
from cache.set_spec import SetError, SetSpec

SPEC_FILE = "set.json"


def read_spec_file(folder: Path) -> tuple[SetSpec, dict[str, Any]]:
    """Return the spec and the provenance of the set in ``folder``.

    Raises:
        SetError: there is none, it is damaged, of another layout, or not this folder's.
        OSError: it can't be read.
    """
    path = folder / SPEC_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        checksum = values.pop("checksum")
        actual = digest_json(values)
        layout, key = values["layout"], values["key"]
        spec, provenance = SetSpec.from_json(values["spec"]), dict(values["provenance"])
    except FileNotFoundError:
        raise SetError(f"{folder} is not a feature set: it has no {SPEC_FILE}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SetError(f"{path} is damaged: {error}; extract again to write it anew") from error
    if layout != LAYOUT:
        raise SetError(f"{path} has layout {layout}, this version of avfuse {LAYOUT}")
    if actual != checksum or spec.key != key or spec.folder != folder.name:
        raise SetError(
            f"{path} is damaged: its key, checksum and folder name don't agree; "
            "extract again to write it anew"
        )
    return spec, provenance


def write_spec_file(folder: Path, spec: SetSpec, provenance: Mapping[str, JSON]) -> None:
    """Create a set's folder, and in it the file, complete or not at all.

    Raises:
        CacheWriteError: it can't be written.
    """
    what = f"feature set {spec.name}"
    values = {
        "layout": LAYOUT,
        "key": spec.key,
        "spec": spec.to_json(),
        "provenance": {"date": utc_now(), **provenance},
    }
    text = json.dumps({**values, "checksum": digest_json(values)}, indent=2, sort_keys=True)
    try:
        make_folder(folder)
    except OSError as error:
        raise write_error(what, folder, error) from error
    write_text(folder / SPEC_FILE, text + "\n", what=what)
