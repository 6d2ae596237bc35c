"""A cache of ten thousand entries, made in seconds, for code that reads only their headers.

One real entry is written and then copied under other clips' names, each with a header of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from cache.entries.sealed import HEADER_BYTES, _format_header, read_header
from cache.entries.source import read_source
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetSpec


def make_cache(cache: Path, number: int, dim: int = 64, steps: int = 25) -> FeatureSet:
    """Write a set of ``number`` entries of ``steps`` rows, made from one and the same file."""
    cache.mkdir(parents=True)
    feature_set = FeatureSet(cache, SetSpec(name="resnet18", settings={}, version=1)).create({})
    with tempfile.NamedTemporaryFile() as media:
        media.write(b"a clip")
        media.flush()
        source = read_source(Path(media.name))
    with feature_set.writer("c0", source=source, provenance={}) as writer:
        writer.append(times=np.arange(steps) / 25.0, basic=np.ones((steps, dim), np.float32))
        first = writer.finish()
    header = read_header(first, "entry")
    body = first.read_bytes()[HEADER_BYTES:]
    for index in range(1, number):
        fields = {**header.fields, "clip": f"c{index}", "body_bytes": len(body)}
        fields["body_sha256"] = header.body_sha256
        path = feature_set.entry_path(f"c{index}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_format_header("entry", fields) + body)
    return feature_set
