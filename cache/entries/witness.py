"""Witnesses: what hashing a clip's file found, so that neither sets nor later runs hash it again.

A file that was touched or copied has other times than its entries state, and the same content. The
cache keeps a small file for each such clip, which says so: stamp of the file -> SHA-256. One that
is lost or damaged costs a hash.
"""

from __future__ import annotations

from pathlib import Path

from cache.codec import read_field, read_object
from cache.commit import make_last_folder, write_whole
from cache.digest import canonical_json, digest_json
from cache.entries.source import Source
from cache.manifest.clip_id import check_clip_id

WITNESSES = "witnesses"  # the folder in a cache
_MOST_BYTES = 4096


class WitnessError(ValueError):
    """A witness is damaged, or another clip's."""


def witness_path(cache: Path, clip: str) -> Path:
    """Return where the witness of a clip's file is, or would be.

    Raises:
        ValueError: ``clip`` is not a clip id.
    """
    return cache / WITNESSES / f"{check_clip_id(clip)}.json"


def find_witnesses(cache: Path) -> list[Path]:
    """Return the paths of a cache's witnesses, sorted."""
    folder = cache / WITNESSES
    return [] if folder.is_symlink() else sorted(folder.glob("[!.]*.json"))


def write_witness(path: Path, source: Source) -> None:
    """Remember what a file held.

    Raises:
        OSError: it can't be written, or the cache is gone.
    """
    make_last_folder(path)
    values = {"clip": path.stem, "source": source.to_json()}
    text = canonical_json({**values, "checksum": digest_json(values)})
    write_whole(path, text + "\n")


def read_witness(path: Path) -> Source:
    """Read what a file held when it was last hashed; of no part of it.

    Raises:
        FileNotFoundError: there is no witness.
        WitnessError: it is damaged, or another clip's.
        OSError: it can't be read.
    """
    try:
        values = read_object(path, most_bytes=_MOST_BYTES)
        checksum = values.pop("checksum", None)
        if checksum != digest_json(values):
            raise ValueError("its checksum differs")
        if check_clip_id(read_field(values, "clip", str)) != path.stem:
            raise ValueError(f"it is of clip {values['clip']}")
        source: Source = read_field(values, "source", Source)
    except (ValueError, TypeError) as error:
        raise WitnessError(f"the witness {path} is damaged ({error}); delete it") from error
    return source
