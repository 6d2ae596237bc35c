"""Notes on a clip on their way to a user: entries, report, summary, contact sheet, answer."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from cache.entries.entry import read_entry_header
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import find_set
from pipeline.extract.job import ClipResult, SetResult
from tests.pipeline.extracting import extract, report
from tests.pipeline.ratios import quarters, write_ratio
from tests.pipeline.sheets import inspect
from tests.pipeline.videos import write_video

SHOWN = "anamorphic: pixels are not square: shown 128x48"
HDR = "hdr: brightness is coded as PQ and is read without tone mapping"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three clips: two with notes, one without."""
    plain, images = tmp_path / "plain.mp4", [quarters()] * 3

    def hdr(stream: av.VideoStream) -> None:
        stream.codec_context.color_trc = 16

    clips = [
        Clip("wide", write_ratio(tmp_path / "wide.mp4", "2", images)),
        Clip("hdr", write_video(tmp_path / "hdr.mp4", images, prepare=hdr)),
        Clip("plain", write_video(plain, images)),
    ]
    return write_manifest(tmp_path / "m.csv", clips)


@pytest.mark.slow
def test_notes_stand_in_entries_and_in_every_report_and_are_no_lack(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.extract.picture._without_face", lambda *_: [])
    cache = tmp_path / "cache"
    for fresh in (True, False):
        result = extract(manifest, cache)
        line = "odd but harmless: anamorphic (1 clip), hdr (1 clip); the report says more"
        assert line in result.output
        clips = report(cache)
        assert {name: clip["notes"] for name, clip in clips.items()} == {
            "wide": [SHOWN],
            "hdr": [HDR],
            "plain": [],
        }
        sets = clips["wide"]["sets"]
        assert {name: found["notes"] for name, found in sets.items()} == {
            "faces": [SHOWN],
            "identity": [],
            "resnet18": [SHOWN],
            "spectrogram": [],
        }
        assert {found["fresh"] for found in sets.values()} == {fresh}
        assert json.loads((cache / "extract-report.json").read_text())["notes"] == {
            "anamorphic": 1,
            "hdr": 1,
        }
        assert sets["faces"]["state"] == "ok"
    for name in ("faces", "resnet18"):
        feature_set = find_set(cache, name)
        assert feature_set.read("wide", verify=True).attributes["notes"] == [SHOWN]
        # Entries without notes are not opened for them.
        assert read_entry_header(feature_set.entry_path("wide")).facts["noted"] is True
        assert "noted" not in read_entry_header(feature_set.entry_path("plain")).facts
    assert find_set(cache, "faces").read("wide").attributes["frame_size"] == [48, 128]
    sheet = tmp_path / "sheet.html"
    assert inspect(manifest, cache, sheet).exit_code == 0
    assert f"128x48, 0.08 s; {SHOWN}" in sheet.read_text()


def test_a_clip_has_the_notes_of_all_its_sets_once_and_they_survive_a_report() -> None:
    sets = {
        "faces": SetResult.made([], notes=["a: x", "b: y"]),
        "logmel": SetResult.made(["no audio stream"], notes=["b: y", "c: z"]),
    }
    result = ClipResult("one", sets)
    assert result.notes == ("a: x", "b: y", "c: z")
    assert ClipResult.from_json(result.to_json()).sets == sets
