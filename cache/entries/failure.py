"""Failures: the reason why a clip has no entry, recorded beside the entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cache.codec import JsonFields, read_object
from cache.commit import write_whole
from cache.digest import JSON, canonical_json, digest_json, take_checksum
from cache.entries.source import Source
from cache.entries.source_check import SourceCheck
from cache.manifest.clip_id import check_clip_id


class FailureRecordError(ValueError):
    """A failure's record is damaged."""


def utc_now() -> str:
    """Return the time as ISO 8601, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Failure(JsonFields):
    """Reason why a clip has no entry in a feature set.

    Args:
        clip: the clip's id.
        stage: what was being done: ``open``, ``decode``, ``faces`` ...
        reason: what went wrong, for a user.
        source: what the clip's file held; None if it couldn't be read.
        date: when, as ISO 8601.
        provenance: versions, host, command; for the curious.
        versions: of avfuse and the libraries that the failure may come of; none in old records.
    """

    clip: str
    stage: str
    reason: str
    source: Source | None = None
    date: str = field(default_factory=utc_now)
    provenance: Mapping[str, JSON] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def still_counts(self, check: SourceCheck) -> bool:
        """Whether the file is unchanged since the failure, so that a new try is pointless.

        A failure to read the file counts as long as the file can't be read.
        """
        if self.source is None:
            try:
                check.path.open("rb").close()
            except OSError:
                return True
            return False
        try:
            return check.same(self.source)
        except OSError:
            return False


def write_failure(path: Path, failure: Failure) -> None:
    """Record a failure, replacing an earlier one.

    Raises:
        CacheWriteError: it couldn't be written.
    """
    values = failure.to_json()
    text = canonical_json({**values, "checksum": digest_json(values)})
    write_whole(path, text + "\n", what=f"clip {failure.clip}: the record of its failure")


def read_failure(path: Path) -> Failure:
    """Read a failure's record.

    Raises:
        FileNotFoundError: there is none.
        FailureRecordError: it is damaged.
        OSError: it can't be read.
    """
    try:
        values = read_object(path)
        take_checksum(values)
        failure = Failure.from_json(values)
        check_clip_id(failure.clip)
    except (ValueError, TypeError) as error:
        raise FailureRecordError(
            f"the record of a failure {path} is damaged ({error}); delete it and extract again"
        ) from error
    if path.name != f"{failure.clip}.json":
        raise FailureRecordError(
            f"{path} records a failure of clip {failure.clip}; delete it and extract again"
        )
    return failure
