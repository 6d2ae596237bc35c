"""icmi19's Table 1 beside runs of ``avfuse finetune``: face networks on three emotion corpora.

python -m benchmarks.science.icmi19_table1 RUN... -o benchmarks/results/icmi19-table1.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from trainer.runs.folder import RunError, read_run
from trainer.runs.terminal import format_interval, format_percent

# Percent right, as printed. Both networks started from face recognition (MS-Celeb-1M, VGGFace);
# on FER+ the validation images were learned too.
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "vggface": {"FER+": 88.84, "RAF-DB": 86.93, "AffectNet": 51.425},
    "resnet18": {"FER+": 88.65, "RAF-DB": 86.696, "AffectNet": 52.075},
    "ir50": {"FER+": 89.257, "RAF-DB": 89.075, "AffectNet": 53.925},
}
CORPORA = {"ferplus": "FER+", "ferplus-csv": "FER+", "raf-db": "RAF-DB", "affectnet": "AffectNet"}


def row_of(path: Path) -> dict[str, Any]:
    """Read one run's row.

    Raises:
        RunError: it is no finished run of ``avfuse finetune`` with test images.
    """
    run = read_run(path)
    test = run.metrics.get("test")
    if run.info.get("kind") != "finetune" or test is None:
        raise RunError(f"{path} is no fine-tuning with test images")
    corpus = CORPORA.get(run.info["data"]["layout"])
    network = run.info["network"]
    return {
        "run": path.name,
        "network": network,
        "corpus": corpus,
        "published": PUBLISHED.get(network, {}).get(corpus or ""),
        "from": "random weights" if run.info["from"] == "random weights" else "given weights",
        "n": test["n"],
        "accuracy": test["accuracy"],
        "interval": test["interval"],
        "uar": test["uar"],
        "without_copies": {key: test["new"][key] for key in ("n", "accuracy", "interval")},
        "command": run.info["command"],
    }


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the rows as a Markdown table; networks of the paper without a run have a dash."""
    lines = [
        "| Network | Corpus | icmi19, from face recognition | Ours | n | Started from |",
        "|---|---|---|---|---|---|",
    ]
    ours = {(row["network"], row["corpus"]) for row in rows}
    corpora = sorted({row["corpus"] for row in rows if row["corpus"]})
    for row in rows:
        published = "-" if row["published"] is None else f"{row['published']} %"
        lines.append(
            f"| {row['network']} | {row['corpus'] or '-'} | {published} | "
            f"{format_percent(row['accuracy'], 2)} {format_interval(row['interval'])} | "
            f"{row['n']} | {row['from']} |"
        )
    for network, figures in PUBLISHED.items():
        for corpus in corpora:
            if (network, corpus) not in ours:
                lines.append(f"| {network} | {corpus} | {figures[corpus]} % | - | - | - |")
    return "\n".join(lines)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(runs: tuple[Path, ...], output: Path | None) -> None:
    rows = [row_of(run) for run in runs]
    if output is not None:
        output.write_text(json.dumps({"published": PUBLISHED, "rows": rows}, indent=1) + "\n")
    click.echo(format_rows(rows))


if __name__ == "__main__":
    main()
