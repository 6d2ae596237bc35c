"""Real processes, killed: whatever was committed is whole, whatever was not is gone after gc."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cache.sets.feature_set import FeatureSet
from cache.sets.scan import find_temporaries
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.verify import verify_cache

ROOT = Path(__file__).parent.parent.parent
CLIPS = 23
KILLS = 20
CUT_SHORT = 4  # of them must hit writers at work, on a slow machine as on a fast one
MOST_KILLS = 400

# Streams entries of several chunks, so that a kill can come between any two writes.
WRITE = """
import sys
from pathlib import Path
import numpy as np
from cache.entries import writer as entry_writer
from cache.sets.feature_set import FeatureSet
from cache.entries.source import read_source

entry_writer.CHUNK_BYTES = 4096
feature_set, video = FeatureSet.open(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    if feature_set.trusted(f"clip{number}", video):
        continue
    with feature_set.writer(f"clip{number}", source=read_source(video), provenance={}) as writer:
        for part in range(40):
            times = np.arange(7.0) + 7 * part
            writer.append(times=times, basic=np.full((7, 103), number, np.float32))
        writer.finish()
    print(number, flush=True)
"""


@pytest.mark.slow
def test_twenty_kills_lose_no_committed_entry_and_leave_no_temporary_file(
    feature_set: FeatureSet, video: Path
) -> None:
    command = [sys.executable, "-c", WRITE, str(feature_set.folder), str(video), str(CLIPS)]
    generator = random.Random(29)
    committed: set[str] = set()
    contents: dict[str, bytes] = {}
    cut_short = 0
    kills = 0
    while kills < KILLS or cut_short < CUT_SHORT:
        assert kills < MOST_KILLS, "the kills never hit a writer at work"
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(generator.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        if process.returncode == 0:  # it was faster: begin again
            for clip in feature_set.clip_ids():
                feature_set.entry_path(clip).unlink()
            committed.clear()
            contents.clear()
            continue
        kills += 1
        committed |= {f"clip{number}" for number in said}
        report = verify_cache(feature_set.cache)
        assert report.damage == ()
        there = set(feature_set.clip_ids())
        assert committed <= there  # what it said was committed is
        for clip in there:
            content = feature_set.entry_path(clip).read_bytes()
            assert contents.setdefault(clip, content) == content  # and is not touched again
        cut_short += len(report.temporaries)
        remove_garbage(find_garbage(feature_set.cache))
        assert list(find_temporaries(feature_set.cache)) == []
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert len(feature_set.clip_ids()) == CLIPS
    for number in range(CLIPS):
        entry = feature_set.read(f"clip{number}", verify=True)
        assert np.array_equal(entry["basic"], np.full((280, 103), number, np.float32))
