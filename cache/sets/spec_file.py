"""The file ``set.json`` of a feature set: its spec and provenance, readable and checked."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.commit import (
    CacheWriteError,
    make_folder,
    sync_folder,
    temporary_path,
    write_error,
    write_text,
)
from cache.digest import JSON, digest_json
from cache.entries.failure import utc_now
from cache.entries.sealed import LAYOUT
from cache.sets.spec import SetError, SetSpec

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
    """Create a set's folder with the file in it, complete or not at all.

    The folder is made under a temporary name and renamed, so that none appears without its file.
    In a folder that is there the file is written anew.

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
    text = json.dumps({**values, "checksum": digest_json(values)}, indent=2, sort_keys=True) + "\n"
    if folder.is_dir():
        write_text(folder / SPEC_FILE, text, what=what)
        return
    aside = temporary_path(folder)
    try:
        make_folder(folder.parent)
        aside.mkdir()
        write_text(aside / SPEC_FILE, text, what=what)
        aside.rename(folder)
        sync_folder(folder.parent)
    except CacheWriteError:
        raise
    except OSError as error:
        # Not empty: another process has just made the same set.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise write_error(what, folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
