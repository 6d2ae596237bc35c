"""A manifest of a million hostile rows: read in bounded memory and time, each row with its reason.

    python -m benchmarks.trust.hostile_manifest --rows 1000000 --folder /tmp/hostile

Every row but a few whole ones attacks: paths that leave the corpus by ``..``, by a symbolic link or
through a loop of links, absolute paths to devices, NUL, line ends, marks that turn text around,
names of 300 bytes, bytes that are no UTF-8, ids that could name another file. The table is read in
a process of its own, and then given to ``avfuse extract``. Exits with 1 if a row has no reason, a
whole row has one, or the larger table needs more memory for a row than ``ALLOWED_BYTES``.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.machine import describe_machine
from cache.manifest.manifest import ManifestError, read_manifest

WHOLE_EVERY = 17
ALLOWED_BYTES = 1_000  # of memory a row
LONG = "ü" * 150  # 300 bytes
FACE = "\U0001f642" * 75  # 300 bytes of four a character

Row = Callable[[int], tuple[str, str, str]]  # clip, path, label

KINDS: dict[str, Row] = {
    "parent": lambda n: (f"a{n}", "../" * (1 + n % 9) + "etc/passwd", "happy"),
    "parent inside": lambda n: (f"b{n}", f"x/../../outside{n}.mp4", "happy"),
    "absolute device": lambda n: (f"c{n}", ("/dev/zero", "/dev/stdin", "/")[n % 3], "happy"),
    "absolute missing": lambda n: (f"d{n}", f"/nowhere/{n}.mp4", "happy"),
    "NUL in path": lambda n: (f"e{n}", f"clip\0{n}.mp4", "happy"),
    "NUL in clip": lambda n: (f"f\0{n}", "clip.mp4", "happy"),
    "line end": lambda n: (f"g{n}", f"clip\n{n},x\r\n.mp4", "happy"),
    "line end in label": lambda n: (f"h{n}", "clip.mp4", f"hap\npy{n}"),
    "long name": lambda n: (f"i{n}", f"{LONG}{n}.mp4", "happy"),
    "long name of faces": lambda n: (f"j{n}", f"{FACE}{n}/{FACE}.mp4", "happy"),
    "long clip": lambda n: (f"k{LONG}{n}", "clip.mp4", "happy"),
    "long label": lambda n: (f"l{n}", "clip.mp4", f"{LONG}{LONG}{n}"),
    "very long path": lambda n: (f"m{n}", "x/" * 2_500 + f"{n}.mp4", "happy"),
    "just short enough": lambda n: (f"n{n}", "../" + "\U0001f642" * 4_000 + f"{n}", "happy"),
    "link out": lambda n: (f"o{n}", "out.mp4", "happy"),
    "link to a folder out": lambda n: (f"p{n}", "outside/secret.mp4", "happy"),
    "link in a loop": lambda n: (f"q{n}", "loop/clip.mp4", "happy"),
    "link to nothing": lambda n: (f"r{n}", "nothing.mp4", "happy"),
    "pipe": lambda n: (f"s{n}", "pipe.mp4", "happy"),
    "clip leaves": lambda n: (f"../t{n}", "clip.mp4", "happy"),
    "clip is hidden": lambda n: (f".u{n}.tmp", "clip.mp4", "happy"),
    "clip twice": lambda _: ("twice", "clip.mp4", "happy"),
    "turned around": lambda n: (f"v{n}\u202e4pm.", "clip.mp4", "happy"),
    "not UTF-8": lambda n: (f"x{n}", f"clip\udcff{n}.mp4", "happy"),
    "no path": lambda n: (f"y{n}", "", "happy"),
    "a comma too many": lambda n: (f"z{n}", "clip.mp4", 'happy","more'),
}


def make_corpus(folder: Path) -> None:
    """Make the files and links that the rows name."""
    outside = folder.with_name(f"{folder.name}-outside")
    outside.mkdir(parents=True)
    (outside / "secret.mp4").write_text("not for the corpus")
    folder.mkdir()
    (folder / "clip.mp4").write_text("a clip")
    (folder / "out.mp4").symlink_to(outside / "secret.mp4")
    (folder / "outside").symlink_to(outside)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "nothing.mp4").symlink_to(folder / "gone.mp4")
    os.mkfifo(folder / "pipe.mp4")


def write_rows(path: Path, rows: int, seed: int) -> tuple[dict[int, str], set[int]]:
    """Write the table; returns the kind of each hostile row by its line, and the whole rows' lines.

    Of the rows that share an id the first is whole.
    """
    generator = random.Random(seed)  # noqa: S311 - which row attacks how
    kinds = list(KINDS)
    hostile: dict[int, str] = {}
    whole: set[int] = set()
    seen = False
    line = 2
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write("clip,path,label\n")
        for number in range(rows):
            kind = generator.choice(kinds)
            if number % WHOLE_EVERY == 0:
                kind, row = "whole", (f"whole{number}", "clip.mp4", "happy")
            else:
                row = KINDS[kind](number)
            if kind == "whole" or (kind == "clip twice" and not seen):
                whole.add(line)
            else:
                hostile[line] = kind
            seen = seen or kind == "clip twice"
            text = ",".join(f'"{field}"' for field in row) + "\n"
            file.write(text)
            line += text.count("\n")
    return hostile, whole


def read(path: Path) -> tuple[str, ...]:
    """Read the table, which must be refused; returns the problems."""
    try:
        read_manifest(path)
    except ManifestError as error:
        str(error)
        return error.problems
    raise AssertionError(f"{path} was accepted")


def compare(
    problems: tuple[str, ...], hostile: dict[int, str], whole: set[int]
) -> tuple[dict[str, int], list[str]]:
    """Count hostile rows without a reason, by kind, and list reasons of whole rows."""
    named = {int(text.removeprefix("line ").partition(":")[0]): text for text in problems}
    missed: dict[str, int] = {}
    for line, kind in hostile.items():
        if line not in named:
            missed[kind] = missed.get(kind, 0) + 1
    return missed, [named[line] for line in sorted(whole & named.keys())][:3]


CHILD = """
import json, resource, sys, time
from pathlib import Path
from benchmarks.trust.hostile_manifest import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.monotonic()
problems = read(Path(sys.argv[1]))
seconds = time.monotonic() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Path(sys.argv[2]).write_text(json.dumps(problems))
print(json.dumps({"seconds": round(seconds, 1), "before": before * 1024, "peak": peak * 1024}))
"""


@click.command()
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="A new folder; it stays."
)
def main(rows: int, seed: int, folder: Path) -> None:
    """Read a hostile manifest and print what it took as JSON."""
    folder.mkdir(parents=True)
    corpus = folder / "corpus"
    make_corpus(corpus)
    manifest = corpus / "manifest.csv"
    hostile, whole = write_rows(manifest, rows, seed)
    said = folder / "problems.json"
    child = [sys.executable, "-c", CHILD, str(manifest), str(said)]
    result = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
    problems = tuple(json.loads(said.read_text()))
    missed, wrong = compare(problems, hostile, whole)
    started = time.monotonic()
    cache = folder / "cache"
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "--cache", str(cache)]
    extract = subprocess.run(
        [*command, "--sets", "faces"], check=False, stderr=subprocess.PIPE, text=True
    )
    per_row = round((result["peak"] - result["before"]) / rows)
    outcome = {
        **describe_machine(),
        "rows": rows,
        "hostile": len(hostile),
        "table_bytes": manifest.stat().st_size,
        "problems": len(problems),
        "longest_problem": max(map(len, problems)),
        "hostile_without_a_reason": missed,
        "whole_with_a_reason": wrong,
        "read_seconds": result["seconds"],
        "read_peak_mib": round(result["peak"] / 2**20),
        "bytes_a_row": per_row,
        "extract_exit_code": extract.returncode,
        "extract_seconds": round(time.monotonic() - started, 1),
        "extract_peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "extract_said_bytes": len(extract.stderr),
        "made_a_cache": cache.exists(),
    }
    click.echo(json.dumps(outcome, indent=2))
    bad = missed or wrong or per_row > ALLOWED_BYTES or cache.exists() or extract.returncode != 2
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
