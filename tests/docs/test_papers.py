"""The page of both papers has each of their pieces, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extractors.networks import NETWORKS
from pipeline.extract.choices import AUDIO_SETS
from pipeline.extract.settings import load_settings as load_stage_one
from trainer.settings import load_settings
from trainer.sweeps.file import read_sweep

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \|([^|]*)\| ([^|]+) \|$", re.M)
CODE = re.compile(r"`([^`]+)`")
# Numbered in the papers: equations, figures, tables.
PIECES = {
    "deep-fusion": (12, 6, ("Table I", "Table II")),
    "icmi19": (9, 2, ("Table 1", "Table 2", "Table 3", "Table 4")),
}
PARTS = {"eq.": re.compile(r"eq\. (\d+(?:, \d+)*)"), "Fig.": re.compile(r"Fig\. (\d+)")}
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")[1:]}
ROWS = [found.groups() for paper in PIECES for found in ROW.finditer(SECTIONS[paper])][1:]


def numbers_of(kind: str, text: str) -> set[int]:
    return {int(number) for found in PARTS[kind].findall(text) for number in found.split(", ")}


@pytest.mark.parametrize("paper", PIECES)
def test_every_equation_figure_and_table_of_a_paper_has_a_row(paper: str) -> None:
    pieces = [piece for piece, *_ in ROW.findall(SECTIONS[paper])]
    equations, figures, tables = PIECES[paper]
    text = "; ".join(pieces)
    assert numbers_of("eq.", text) == {*range(1, equations + 1)}
    assert numbers_of("Fig.", text) == {*range(1, figures + 1)}
    assert [name for name in tables if not any(re.match(rf"{name}\b", p) for p in pieces)] == []


@pytest.mark.parametrize(
    ("piece", "where"), [(r[0], r[2]) for r in ROWS], ids=lambda text: text[:25]
)
def test_a_class_preset_sweep_set_and_setting_that_a_row_names_is_there(
    piece: str, where: str
) -> None:
    for file, name in re.findall(r"`([\w/]+\.py)` \(`(\w+)`", where):
        assert re.search(rf"^class {name}\b", (ROOT / file).read_text(encoding="utf-8"), re.M), name
    for name in re.findall(r"preset `([\w-]+)`", where):
        load_settings(name)
    for name in re.findall(r"(?:sweep|in) `((?:icmi19|deep-fusion)-\w+)`", where):
        assert read_sweep(name).cells
    for names in re.findall(r"sets? ((?:`\w+`(?:, )?)+)", where):
        assert {*CODE.findall(names)} <= {*NETWORKS, *AUDIO_SETS}
    for setting in re.findall(r"[a-z_.]+=[\w-]+", " ".join(CODE.findall(where))):
        refused = []
        for load in (load_stage_one, lambda given: load_settings("fast", given)):
            try:
                load([setting])
            except ValueError as error:
                refused.append(str(error))
        assert len(refused) < 2, f"{piece}: {refused}"
