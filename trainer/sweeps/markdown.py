"""Table of a sweep for people, as Markdown: as a paper prints it, then every figure of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cache.wording import number_of
from trainer.runs.by_speaker import FEW_SPEAKERS, METHOD
from trainer.runs.terminal import format_interval, format_percent, format_points
from trainer.sweeps.cell import CellResult
from trainer.sweeps.choice import CRITERION, InnerScore
from trainer.sweeps.file import CellText, Sweep
from trainer.sweeps.table import describe_clips, find_paper, name_division

_HEADINGS = (
    ("n", "---:"),
    ("accuracy", "---:"),
    ("by speaker", "---"),
    ("Wilson's", "---"),
    ("UAR", "---:"),
    ("macro F1", "---:"),
    ("mean ± deviation", "---"),
    ("against the first row", "---"),
    ("paper", "---:"),
)


def format_markdown(
    sweep: Sweep, results: Sequence[CellResult], scores: Sequence[InnerScore] = ()
) -> str:
    """Write the table with its title, the clips that it is about and every warning.

    Args:
        sweep: see ``trainer.sweeps.table.make_table``, as for the others.
        results: see there.
        scores: see there.
    """
    lines = [f"# {sweep.title}", "", *_describe(sweep, results), ""]
    if sweep.paper.caption:
        lines += [*_as_printed(sweep, results), "", "## Every figure", ""]
    lines += _table(["cell", *(name for name, _ in _HEADINGS)], ["---", *(a for _, a in _HEADINGS)])
    for cell, result in zip(sweep.cells, results, strict=True):
        lines.append(_row(_figures(sweep, cell, result)))
    lines += [
        "",
        "Accuracy is that of the averaged probabilities of a cell's heads (seeds, or runs of an "
        "ensemble); mean ± deviation is over these heads one by one. "
        f"95 % intervals are {_name_intervals(results)}.",
    ]
    lines += _name_tests(results)
    if scores:
        lines += ["", "## Inside the training clips", "", *_inner(scores)]
    notes = [*_notes(sweep, results)]
    lines += [""] * bool(notes) + [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"


def _describe(sweep: Sweep, results: Sequence[CellResult]) -> Iterator[str]:
    """Say which clips the rows are about, and what choosing one of them would be."""
    found = describe_clips(sweep, results)
    counts = " or ".join(map(str, found["n"])) or "-"
    who = " or ".join(map(str, found["speakers"]))
    how = (
        "each tested once, by heads that were not trained on its fold"
        if found["folds"]
        else f"heads trained on {' or '.join(found['trained_on'])}"
    )
    yield (
        f"Reported on {found['clips']}, {how}: n {counts}, "
        f"{f'{who} speakers' if who else 'speakers not known'}. {found['choosing']}"
    )


def _as_printed(sweep: Sweep, results: Sequence[CellResult]) -> Iterator[str]:
    """Write the paper's table in its own columns and order, ours beside its figures."""
    paper = sweep.paper
    where = name_division(sweep)
    yield f"**{paper.caption}**"
    yield ""
    cells = list(zip(sweep.cells, results, strict=True))
    if len(sweep.axes) == 2:
        rows, columns = sweep.axes
        heads = [f"{rows.name} \\ {columns.name}", *columns.labels]
        yield from _table(heads, ["---"] + ["---:"] * len(columns.labels))
        for number, label in enumerate(rows.labels):
            start = number * len(columns.labels)
            inside = cells[start : start + len(columns.labels)]
            yield _row([label, *(f"{_ours(r)} ({_printed(c.paper)})" for c, r in inside)])
        yield ""
        yield f"Ours, on {where}; in brackets the paper's ({paper.note})."
        return
    yield from _table([*paper.columns, "ours"], ["---"] * len(paper.columns) + ["---:"])
    for cell, result in cells:
        if cell.printed:
            figures = dict(zip(paper.accuracies, (cell.paper, cell.paper_test), strict=False))
            own = [
                _printed(figures[name], "--") if name in figures else cell.printed.get(name, "--")
                for name in paper.columns
            ]
            yield _row([*own, _ours(result)])
    clips = zip(paper.accuracies, (paper.note, paper.note_test), strict=False)
    named = "; ".join(f"{column}: {note}" for column, note in clips)
    yield ""
    yield f"The last column is ours, on {where}; the others are the paper's ({named})."


def _inner(scores: Sequence[InnerScore]) -> Iterator[str]:
    """Write the score of each row for each fold, those of the chosen rows in bold."""
    folds = list(dict.fromkeys(score.fold for score in scores))
    heads = ["the split" if fold is None else f"fold {fold}" for fold in folds]
    yield from _table(["row", *heads], ["---"] + ["---:"] * len(folds))
    for name in dict.fromkeys(score.cell for score in scores):
        own = [score for score in scores if score.cell == name]
        figures = [(format_percent(score.accuracy), score.chosen) for score in own]
        yield _row([name, *(f"**{text}**" if chosen else text for text, chosen in figures)])
    counts = ", ".join(str(score.n) for score in scores[:: len(scores) // len(folds)])
    yield ""
    yield f"In bold the rows that are tested (n {counts}). Chosen by {CRITERION}."


def _ours(result: CellResult) -> str:
    return _accuracy(result.report) if result.report else "-"


def _accuracy(report: Mapping[str, Any]) -> str:
    return format_percent(report["all"]["ensemble"]["accuracy"])


def _printed(figure: float | None, none: str = "-") -> str:
    return none if figure is None else f"{figure:g} %"


def _table(headings: Sequence[str], alignments: Sequence[str]) -> list[str]:
    return [_row(headings), f"|{'|'.join(alignments)}|"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _figures(sweep: Sweep, cell: CellText, result: CellResult) -> list[str]:
    paper = _printed(find_paper(sweep, cell)[0])
    if result.report is None:
        return [cell.name, result.state, *["-"] * (len(_HEADINGS) - 2), paper]
    figures = result.report["all"]
    whole, spread = figures["ensemble"], figures["over_members"]["accuracy"]
    mean, deviation = format_percent(spread["mean"]), spread["deviation"]
    return [
        cell.name,
        str(whole["n"]),
        _accuracy(result.report),
        format_interval((whole.get("by_speaker") or {"interval": None})["interval"]),
        format_interval(whole["interval"]),
        format_percent(whole["uar"]),
        format_percent(whole["macro_f1"]),
        mean if deviation is None else f"{mean[:-2]} ± {format_percent(deviation)}",
        _difference(result),
        paper,
    ]


def _difference(result: CellResult) -> str:
    """Write difference, interval and corrected p value, in points."""
    if (against := result.against) is None:
        return "-"
    return (
        f"{100 * against.difference:+.1f} {format_points(against.interval)}, p {against.p_holm:.2g}"
    )


def _name_intervals(results: Sequence[CellResult]) -> str:
    """Name both intervals, with the number of speakers and what it does to the first."""
    wholes = [result.report["all"]["ensemble"] for result in results if result.report]
    speakers = sorted({found["speakers"] for one in wholes if (found := one.get("by_speaker"))})
    wilson = "Wilson's, which take clips as independent"
    if not speakers:
        reasons = {one.get("not_by_speaker") for one in wholes} - {None, ""}
        return f"{wilson}{''.join(f' ({reason})' for reason in sorted(reasons))}"
    few = "; so few speakers make them too narrow" if speakers[0] < FEW_SPEAKERS else ""
    counts = " or ".join(map(str, speakers))
    return f"by speaker ({METHOD}, {counts} speakers{few}) and {wilson}"


def _name_tests(results: Sequence[CellResult]) -> Iterator[str]:
    """Say what the column of differences is."""
    made = [result.against for result in results if result.against]
    if not made:
        return
    ways = {
        "speaker": "by speaker (cluster bootstrap, exact sign flips)",
        "clip": "by clip (Newcombe's interval, McNemar's exact test), which takes clips as "
        "independent",
    }
    used = [text for name, text in ways.items() if any(one.paired_by == name for one in made)]
    yield (
        f"Against the first row ({made[0].row}): difference in points on the clips that both "
        f"have, 95 % interval, and p, paired {' or '.join(used)}; p is corrected for "
        f"{number_of(made[0].tests, 'comparison')} (Holm), the interval is not."
    )


def _notes(sweep: Sweep, results: Sequence[CellResult]) -> Iterator[str]:
    papers = [(note, c.name) for c in sweep.cells if (note := find_paper(sweep, c)[1])]
    told = [r.cell for r in results if r.report is not None]
    warned = [(w, r.cell) for r in results for w in (r.report or {}).get("warnings", ())]
    for text, who in _by_text(papers, len(papers)):
        yield f"{text} (the paper's figure, {who})"
    yield from (f"{r.cell}: {r.state}: {r.reason}" for r in results if r.reason)
    for text, who in _by_text(warned, len(told)):
        yield f"warning ({who}): {text}"


def _by_text(pairs: Sequence[tuple[str, str]], whole: int) -> Iterator[tuple[str, str]]:
    """Join each text with the cells that it belongs to; ``whole`` stands for all cells."""
    owners: dict[str, list[str]] = {}
    for text, cell in pairs:
        owners.setdefault(text, []).append(cell)
    for text, cells in owners.items():
        yield text, "every cell" if len(cells) == whole else ", ".join(cells)
