"""What avfuse inspect faces writes: pages, pictures and an index, and where it can't."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import click
import cv2
import pytest

from cache.manifest.clip import Clip
from pipeline.commands.inspect import faces as faces_command
from pipeline.inspect import pages
from pipeline.inspect.request import SheetSettings
from tests.pipeline.known_faces import write_clip, write_table
from tests.pipeline.rights import no_rights
from tests.pipeline.sheets import TWO, fail, inspect


def test_a_folder_holds_pages_of_some_clips_each_and_an_index_of_all(
    tmp_path: Path, steady: Clip
) -> None:
    clips = [steady]
    for number in range(4):
        path = tmp_path / f"clip{number}.mp4"
        clips.append(write_clip(tmp_path / "cache", path, TWO))
    folder = tmp_path / "new" / "sheets"
    manifest = write_table(tmp_path, clips)
    result = inspect(manifest, tmp_path / "cache", folder, "--per-page", "2")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"clip-clip{number}.html" for number in range(4)),
        "clip-steady.html",
        "index.html",
        "index.json",
        "page-001.html",
        "page-002.html",
        "page-003.html",
    ]
    index = (folder / "index.html").read_text()
    assert index.count("<tr>") == 1 + 5
    assert 'href="page-002.html#clip1"' in index
    assert "face in 7 of 7 frames (100.0%)" in index
    second = (folder / "page-002.html").read_text()
    assert '<h2 id="clip1">' in second
    assert 'href="page-001.html"' in second
    assert 'href="page-003.html"' in second
    assert "steady" not in second
    assert json.loads((folder / "index.json").read_text()) == {
        "steady": "page-001.html#steady",
        **{f"clip{n}": f"page-{(n + 1) // 2 + 1:03d}.html#clip{n}" for n in range(4)},
    }


def test_pages_of_an_earlier_sheet_go_and_other_files_stay(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "other.mp4"
    shutil.copyfile(steady.path, path)
    clips = [steady, write_clip(tmp_path / "cache", path, TWO)]
    folder, manifest = tmp_path / "sheets", write_table(tmp_path, clips)
    assert inspect(manifest, tmp_path / "cache", folder, "--per-page", "1").exit_code == 0
    (folder / "page-mine.html").write_text("mine")
    (folder / "clip-mine.html").write_text("mine")
    assert (folder / "page-002.html").exists()
    again = inspect(manifest, tmp_path / "cache", folder, "--clip", "other")
    assert again.exit_code == 0
    assert not (folder / "page-002.html").exists()
    assert not (folder / "clip-steady.html").exists()
    assert (folder / "clip-other.html").exists()
    assert (folder / "page-mine.html").read_text() == "mine"
    assert (folder / "clip-mine.html").read_text() == "mine"


def test_a_page_stays_below_its_bytes_with_fewer_clips(
    tmp_path: Path, steady: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 9_000)  # two of these rows
    clips = [steady]
    for number in range(4):
        path = tmp_path / f"clip{number}.mp4"
        shutil.copyfile(steady.path, path)
        clips.append(write_clip(tmp_path / "cache", path, TWO))
    folder = tmp_path / "sheets"
    assert inspect(write_table(tmp_path, clips), tmp_path / "cache", folder).exit_code == 0
    found = sorted(folder.glob("page-*.html"))
    assert len(found) > 1
    shown = "".join(page.read_text() for page in found)
    assert all(shown.count(f'<h2 id="{clip.id}">') == 1 for clip in clips)
    last = found[-1].read_text()
    assert f'href="page-{len(found) - 1:03d}.html"' in last
    assert f'href="page-{len(found) + 1:03d}.html"' not in last


@pytest.mark.parametrize("name", ["sheet.png", "sheet.html", "sheets"])
def test_the_same_entries_and_videos_make_the_same_bytes(
    tmp_path: Path, steady: Clip, name: str
) -> None:
    manifest = write_table(tmp_path, [steady])
    made = []
    for place in ("a", "b"):
        output = tmp_path / place / name
        output.parent.mkdir()
        assert inspect(manifest, tmp_path / "cache", output).exit_code == 0
        paths = sorted(output.iterdir()) if output.is_dir() else [output]
        made.append([path.read_bytes() for path in paths])
    assert made[0] == made[1]


def test_a_picture_holds_every_clip_below_the_other(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    broken = Clip("broken", path, "сад高兴")
    fail(broken, tmp_path / "cache", "broken.mp4 is not a video")
    heights = []
    for clips in ([steady], [steady, broken]):
        output = tmp_path / "sheet.png"
        result = inspect(write_table(tmp_path, clips), tmp_path / "cache", output)
        assert result.exit_code == 0, result.output
        heights.append(cv2.imread(str(output)).shape[0])
    assert heights[1] > heights[0] + 30


def test_more_clips_than_a_page_are_not_put_into_one_file(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "other.mp4"
    shutil.copyfile(steady.path, path)
    manifest = write_table(tmp_path, [steady, write_clip(tmp_path / "cache", path, TWO)])
    for name in ("sheet.png", "sheet.html"):
        result = inspect(manifest, tmp_path / "cache", tmp_path / name, "--per-page", "1")
        assert result.exit_code == 2
        assert "2 clips are more than one page of 1" in result.stderr
        assert "name a folder" in result.stderr
        assert not (tmp_path / name).exists()


def test_another_kind_of_picture_is_refused(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [steady])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "sheet.jpg")
    assert result.exit_code == 2
    assert "ends in .png or .html" in result.stderr


def test_an_output_that_cannot_be_written_is_named(
    tmp_path: Path, steady: Clip, enterable: Path
) -> None:
    manifest = write_table(tmp_path, [steady])
    for path in (tmp_path, *tmp_path.parents[:3]):  # one more where pytest runs in two processes
        if path != Path(tempfile.gettempdir()):
            path.chmod(0o755)
    with no_rights(enterable):
        for name in ("sheet.png", "sheet.html", "sheets"):
            result = inspect(manifest, tmp_path / "cache", enterable / name)
            assert result.exit_code == 1, result.output
            assert f"{enterable / name} can't be written: " in result.stderr
            assert "Permission denied" in result.stderr
    assert not list(enterable.iterdir())
    (tmp_path / "file").write_text("")
    result = inspect(manifest, tmp_path / "cache", tmp_path / "file" / "sheets")
    assert result.exit_code == 1
    assert result.stderr.count("can't be written") == 1


def test_what_was_made_is_told_as_json(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [steady])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png", "--json")
    assert json.loads(result.stdout) == {
        "files": [str(tmp_path / "s.png")],
        "clips": 1,
        "states": {"ok": 1},
        "unseen": {},
    }


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({"frames": 1}, "frames must be 2 to 64, got 1"),
        ({"size": 79}, "size must be 80 to 1920, got 79"),
        ({"per_page": 501}, "per_page must be 1 to 500, got 501"),
        ({"frames": 64, "size": 640}, "64 frames of 640 pixels are wider than 16384"),
    ],
)
def test_a_sheet_out_of_bounds_is_refused(values: dict[str, int], answer: str) -> None:
    with pytest.raises(ValueError, match=answer):
        SheetSettings(**values)


def test_every_option_is_described() -> None:
    assert all(option.help for option in faces_command.params if isinstance(option, click.Option))
