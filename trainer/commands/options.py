"""Options that several commands of stage two share.

A flag of one name means the same, and says the same, wherever it stands.
"""

from __future__ import annotations

from pathlib import Path

import click

from cache.manifest.manifest import SPLITS

MANIFEST = click.argument("manifest", type=click.Path(path_type=Path))
CACHE = click.option(
    "--cache", required=True, type=click.Path(path_type=Path), help="The cache's folder."
)
RUN = click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder to write.")
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)
SELECT = click.option(
    "--select", metavar="HOW", help="Epochs: fixed, or inner:0.2 of training clips."
)
SPLIT = click.option(
    "--split", type=click.Choice(SPLITS), help="Report on it; default: test, else val."
)
ALLOW_SHARED_SPEAKERS = click.option(
    "--allow-shared-speakers", is_flag=True, help="Train on speakers reported on."
)
DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)
PACKS = click.option("--packs", type=click.Path(path_type=Path), help="Packs, if not in the cache.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace the run that the folder holds.")
RESUME = click.option(
    "--resume", is_flag=True, help="Go on with the interrupted run of the folder."
)
