"""Arguments and options that several commands of stage two share."""

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
CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file with settings; --set overrides it."
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
    help="Number of epochs: fixed, or chosen on a share of the training clips, as in inner:0.2.",
)
FOLDS = click.option(
    "--folds",
    metavar="HOW",
    help="Cross-validation: speaker:K, speaker:all (by the manifest, else by avfuse persons), "
    "clip:K or manifest (default: its splits).",
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
ALLOW_COPIES = click.option(
    "--allow-copies",
    is_flag=True,
    help="Accept test clips with the content of a training clip; the report says so.",
)
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Device to compute on: auto, cpu, cuda or cuda:N.",
)
PACKS = click.option(
    "--packs",
    type=click.Path(path_type=Path),
    help="Folder for the packs, if the cache can't be written.",
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace the run in the folder, even one with other settings."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
LOG_JSON = click.option(  # obeyed before it is read, see pipeline.commands.events
    "--log-json",
    is_flag=True,
    expose_value=False,
    help="Write progress and messages to standard error as JSON, one event a line.",
)
