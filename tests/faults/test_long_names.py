"""File names of 43 Chinese characters: two clips, whether the folder is indexed or the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cache.manifest.clip_id import check_clip_id
from cache.manifest.manifest import read_manifest
from pipeline.cli import main
from tests.pipeline.corpus_files import touch, write_texts

LONG = "高兴/我的前半生第二十三集罗子君与唐晶在咖啡馆里争吵后和好片段00_12_33至00_12_41.mp4"
SHORT = "悲伤/短名.mp4"


@pytest.fixture(params=["made", "given"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "given":
        folder: Path = request.getfixturevalue("faults") / "long-names/cn"
        return folder
    touch(tmp_path / "cn", LONG, SHORT)
    write_texts(tmp_path / "cn", {"t.csv": f"path,label\n{LONG},高兴\n{SHORT},悲伤\n"})
    return tmp_path / "cn"


@pytest.mark.parametrize("recipe", ["folder", "csv"])
def test_long_names_are_clips(corpus: Path, tmp_path: Path, recipe: str) -> None:
    place = corpus if recipe == "folder" else corpus / "t.csv"
    result = CliRunner().invoke(main, ["index", recipe, str(place), "-o", str(tmp_path / "m.csv")])
    assert result.exit_code == 0
    clips = read_manifest(tmp_path / "m.csv").clips
    assert {clip.path: clip.label for clip in clips} == {
        corpus / LONG: "高兴",
        corpus / SHORT: "悲伤",
    }
    # The digest is the first half of sha256sum's of the long path.
    assert {check_clip_id(clip.id) for clip in clips} == {
        "0.--_--_00_12_33_00_12_41.mp4.-zf111c9c41f3ef7f381b06efe0ab36ba3",
        "0.--.-e682b2e4bca4---.-e79fade5908d-.mp4",
    }
