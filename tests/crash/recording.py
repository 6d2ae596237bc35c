"""Program that carries operations out and keeps what they called: FILE OUTSIDE NAME ..."""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path

from tests.crash.operations import OPERATIONS
from tests.crash.states import record


def main(file: Path, outside: Path, names: list[str]) -> None:
    """Record the named operations."""
    with tempfile.TemporaryDirectory(dir=outside) as folder:
        recordings = {
            name: record(OPERATIONS[name], Path(folder) / f"{number}", outside)
            for number, name in enumerate(names)
        }
    file.write_bytes(pickle.dumps(recordings))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
