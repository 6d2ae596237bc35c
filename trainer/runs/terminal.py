"""Reports and comparisons as lines of text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cache.wording import name_by_reason, number_of
from trainer.runs.by_speaker import FEW_SPEAKERS
from trainer.runs.compare import Comparison, Intervals

# What the manifest's column label_target says, in words; other values stand as they are.
LABEL_TARGETS = {
    "acted": "what was acted",
    "crowd": "what the crowd saw and heard",
    "crowd-voice": "what the crowd heard, without the picture",
    "crowd-face": "what the crowd saw, without the sound",
}
_HEADER = ("", "n", "accuracy", "95 % interval", "UAR", "macro F1")
_WIDTHS = (30, 6, 14, 15, 14, 14)


def format_report(report: Mapping[str, Any], *, name: str) -> str:
    """Write the figures of ``trainer.runs.report.make_report`` as a table with its warnings.

    Args:
        report: the contents of ``metrics.json``.
        name: how the first line calls the run.

    Returns:
        Lines in percent, joined by newlines.
    """
    return "\n".join([f"{name}: {report['title']}", *_lines(report)])


def format_comparison(
    comparison: Comparison, *, names: tuple[str, str], show: int | None = 20
) -> str:
    """Write a paired comparison as lines of text.

    Args:
        comparison: run b compared with run a.
        names: how the runs are called.
        show: how many of the differing clips are listed; None for all.

    Returns:
        Lines, joined by newlines.
    """
    n = comparison.n
    right_a = comparison.both_right + comparison.only_a
    right_b = comparison.both_right + comparison.only_b
    lines = [
        *(
            f"{letter}: {name}: accuracy {format_percent(right / n)} of {number_of(n, 'clip')}, "
            f"{_both(intervals)}"
            for letter, name, right, intervals in zip(
                "ab", names, (right_a, right_b), comparison.intervals, strict=True
            )
        ),
        f"only a is right on {comparison.only_a}, only b on {comparison.only_b}, "
        f"both on {comparison.both_right}, neither on {comparison.both_wrong}",
        *_differences(comparison),
    ]
    if any(comparison.left_out):
        lines.append(
            f"left out, as only one run has them: {comparison.left_out[0]} clips of a, "
            f"{comparison.left_out[1]} of b"
        )
    differing = comparison.clips
    lines.append(f"they predict {number_of(len(differing), 'clip')} differently")
    lines += [
        f"  {item.clip}: label {item.label}, a {item.a}, b {item.b}" for item in differing[:show]
    ]
    if show is not None and len(differing) > show:
        lines.append(f"  and {len(differing) - show} more: --show 0, or --json, lists all")
    return "\n".join(lines)


def format_percent(value: float | None, digits: int = 1) -> str:
    """Format a share in percent; a dash where it is not defined."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def format_interval(interval: Sequence[float] | None) -> str:
    """Format an interval in percent; a dash where it is not defined."""
    return "-" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def choose_interval(figures: Mapping[str, Any]) -> list[float] | None:
    """Choose the interval that stands beside an accuracy: by speaker where there is one.

    Args:
        figures: a block of ``metrics.json``, such as ``report["all"]["ensemble"]``; older runs'
            too.
    """
    by_speaker = figures.get("by_speaker")
    interval: list[float] | None = (by_speaker or figures)["interval"]
    return interval


def describe_interval(figures: Mapping[str, Any]) -> str:
    """Say what the interval beside an accuracy takes as drawn by chance; empty without one.

    Args:
        figures: see ``choose_interval``.
    """
    wilson = format_interval(figures["interval"])
    if by_speaker := figures.get("by_speaker"):
        count = by_speaker["speakers"]
        few = "; so few speakers make it too narrow" if count < FEW_SPEAKERS else ""
        return (
            f"95 % interval by speaker {format_interval(by_speaker['interval'])} "
            f"({count} speakers, {by_speaker['method']}{few}); "
            f"Wilson's, which takes clips as independent, {wilson}"
        )
    if figures["interval"] is None:
        return ""
    reason = figures.get("not_by_speaker") or "this run doesn't name the speakers"
    return (
        f"95 % interval {wilson}: Wilson's, which takes clips as independent, and clips of one "
        f"speaker are not ({reason})"
    )


def describe_labels(report: Mapping[str, Any]) -> str:
    """Say what the labels of a report are of; empty where nobody said and nothing else is."""
    target, votes = report.get("label_target"), report.get("targets") == "votes"
    words = [LABEL_TARGETS.get(target, target)] if target else []
    return ", ".join(words + ["heads trained on the votes"] * votes)


def describe_unchecked(report: Mapping[str, Any]) -> str:
    """Say of how many clips nobody knows whether their features are stale; empty for none."""
    counts = report.get("unchecked", {}).items()
    clips = ", ".join(f"{number_of(count, 'clip')} ({reason})" for reason, count in counts)
    return f"not checked for newer files: {clips}" if clips else ""


def describe_temperatures(report: Mapping[str, Any]) -> str:
    """Say which temperatures were fitted, and what they change; empty for none."""
    found = [row["temperature"] for row in report.get("temperatures", ())]
    if not found:
        return ""
    values = f"{min(found):.2f}" + (f" to {max(found):.2f}" if len(found) > 1 else "")
    return (
        f"temperature {values}, fitted on held-out training clips of each fold; expected "
        f"calibration error without it {format_percent(report['uncalibrated']['ece'])}"
    )


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    if labels := describe_labels(report):
        yield f"labels: {labels}"
    yield _row(*_HEADER)
    counts = ", ".join(f"{name} {count}" for name, count in report["clips"].items())
    yield f"all clips ({counts})"
    yield from _section(report["all"], report["members_are"])
    if report["both"] is None:
        only = ", ".join(f"{name} only" for name in report["clips"])
        yield f"clips with both modalities: none ({only or 'no clip at all'})"
    elif report["both"]["ensemble"]["n"] == report["all"]["ensemble"]["n"]:
        yield "clips with both modalities: all of them, the same figures"
    else:
        yield "clips with both modalities"
        yield from _section(report["both"], report["members_are"])
    whole = report["all"]["ensemble"]
    if interval := describe_interval(whole):
        yield interval
    if calibration := whole.get("calibration"):  # which older runs don't have
        yield (
            f"expected calibration error {format_percent(calibration['ece'])} "
            f"({len(calibration['bins'])} bins)"
        )
    if sentence := describe_temperatures(report):
        yield sentence
    if stack := report.get("stack"):
        yield "weights, fitted for each fold on its training clips alone (nested predictions):"
        for part in stack:
            weights = ", ".join(f"{name} {w:.2f}" for name, w in part["weights"].items())
            yield f"  {'all' if part['fold'] is None else 'fold ' + str(part['fold'])}: {weights}"
    recall = whole["recall"]
    shares = (f"{name} {format_percent(value)}" for name, value in recall.items())
    yield f"recall: {', '.join(shares)}"
    without = whole["without_clips"]
    if without:
        yield f"left out of UAR and macro F1, as no clip has them: {', '.join(without)}"
    missing = report["missing"]
    if missing["count"]:
        names = name_by_reason({clip["clip"]: clip["reason"] for clip in missing["clips"]})
        yield (
            f"{number_of(missing['count'], 'clip')} to report on without features: {names}; "
            f"counted as wrong, accuracy is {format_percent(missing['accuracy_as_wrong'])} "
            f"{format_interval(missing['interval_as_wrong'])} of {missing['n']}"
        )
    if unchecked := describe_unchecked(report):
        yield unchecked
    for warning in report["warnings"]:
        yield f"warning: {warning}"


def _section(figures: Mapping[str, Any], members_are: str) -> Iterator[str]:
    ensemble, members, folds = figures["ensemble"], figures["members"], figures["folds"]
    name = f"  ensemble of {len(members)} {members_are}" if len(members) > 1 else "  one head"
    if len(members) == 1 and folds:
        name = "  one head a fold"
    yield _row(
        name,
        str(ensemble["n"]),
        format_percent(ensemble["accuracy"]),
        format_interval(choose_interval(ensemble)),
        format_percent(ensemble["uar"]),
        format_percent(ensemble["macro_f1"]),
    )
    if len(members) > 1:
        yield _spread_row(f"  mean of {len(members)} {members_are}", figures["over_members"])
    if len(folds) > 1:
        yield _spread_row(f"  mean of {len(folds)} folds", figures["over_folds"])


def _both(intervals: Intervals) -> str:
    wilson = f"Wilson's {format_interval(intervals.wilson)}"
    if intervals.by_speaker is None:
        return f"95 % interval {wilson}"
    return f"95 % interval by speaker {format_interval(intervals.by_speaker)}, {wilson}"


def _differences(comparison: Comparison) -> Iterator[str]:
    by_speaker = comparison.by_speaker
    mcnemar = (
        f"95 % interval {format_points(comparison.interval)}; "
        f"McNemar's exact test p = {comparison.p_value:.3g}"
    )
    points = f"{100 * comparison.difference:+.1f} points"
    if by_speaker is None:
        yield f"b less a: {points}, {mcnemar}"
        yield (
            "both take clips as independent, and clips of one speaker are not "
            f"({comparison.not_by_speaker})"
        )
        return
    few = "; so few speakers make it too narrow" if by_speaker.speakers < FEW_SPEAKERS else ""
    yield (
        f"b less a, by speaker: {points}, 95 % interval {format_points(by_speaker.interval)} "
        f"({by_speaker.speakers} speakers, {by_speaker.method}{few}); exact sign-flip test "
        f"p = {by_speaker.p_value:.3g}"
    )
    yield (
        f"b gets more clips of {number_of(by_speaker.better_b, 'speaker')} right, a of "
        f"{by_speaker.better_a}"
    )
    yield f"by clip, as if clips were independent: {mcnemar}"


def format_points(interval: tuple[float, float]) -> str:
    """Format the interval of a difference, in points."""
    return f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"


def _spread_row(name: str, spreads: Mapping[str, Any]) -> str:
    return _row(
        name,
        "",
        _spread(spreads["accuracy"]),
        "",
        _spread(spreads["uar"]),
        _spread(spreads["macro_f1"]),
    )


def _spread(spread: Mapping[str, Any]) -> str:
    if spread["mean"] is None:
        return "-"
    if spread["deviation"] is None:
        return format_percent(spread["mean"])
    return f"{100 * spread['mean']:.1f} ± {100 * spread['deviation']:.1f} %"


def _row(*cells: str) -> str:
    first = cells[0].ljust(_WIDTHS[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], _WIDTHS[1:], strict=True)]
    return (first + " ".join(rest)).rstrip()
