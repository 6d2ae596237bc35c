"""Options that several commands share.

A flag of one name means the same, and says the same, wherever it stands.
"""

from __future__ import annotations

from pathlib import Path

import click

from cache.manifest.clip import SPLITS

MANIFEST = click.argument("manifest", type=click.Path(path_type=Path))
CACHE = click.option(
    "--cache", required=True, type=click.Path(path_type=Path), help="Folder of the cache."
)
RUN = click.option(
    "--run", required=True, type=click.Path(path_type=Path), help="Folder of the run."
)
OVERRIDES = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as optim.epochs=5; may be given several times.",
)
SELECT = click.option(
    "--select",
    metavar="HOW",
    help="Choice of the number of epochs: fixed, or inner:0.2 by a share of the training clips.",
)
FOLDS = click.option(
    "--folds",
    metavar="HOW",
    help="Cross-validation: speaker:K, speaker:all, clip:K or manifest (default: its splits).",
)
SPLIT = click.option(
    "--split",
    type=click.Choice(SPLITS),
    help="Split to report on (default: test if it has labels, else val).",
)
ALLOW_SHARED_SPEAKERS = click.option(
    "--allow-shared-speakers",
    is_flag=True,
    help="Accept a speaker in both training and test clips; the report says so.",
)
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Device to train on: auto, cpu, cuda or cuda:N.",
)
PACKS = click.option(
    "--packs",
    type=click.Path(path_type=Path),
    help="Folder of the packs, for a cache that can't be written.",
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace the run that the folder holds, whatever it is."
)
