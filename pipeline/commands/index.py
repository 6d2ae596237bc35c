"""``avfuse index``: write a manifest from a corpus's own layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from cache.commit import CacheWriteError
from cache.manifest.clip import COLUMNS
from cache.manifest.manifest import ManifestError
from extractors.plugins import CORPORA, Plugin, PluginError, read_plugins
from pipeline.commands import options
from pipeline.commands.group import Group
from pipeline.index.afew import index_afew
from pipeline.index.ch_sims import Annotation, index_ch_sims
from pipeline.index.crema_d import LabelTarget, Raters, index_crema_d
from pipeline.index.csv_table import index_csv
from pipeline.index.dfew import index_dfew
from pipeline.index.emo_db import index_emo_db
from pipeline.index.enterface import index_enterface
from pipeline.index.files import MAX_DEPTH, Found, IndexingError, printable
from pipeline.index.finish import index_into
from pipeline.index.folder import index_folder
from pipeline.index.iemocap import index_iemocap
from pipeline.index.mafw import Annotation as MafwAnnotation
from pipeline.index.mafw import index_mafw
from pipeline.index.mead import View, index_mead
from pipeline.index.media import Media
from pipeline.index.meld import index_meld
from pipeline.index.mer2023 import SUBSETS, index_mer2023
from pipeline.index.plugins import index_by_plugin
from pipeline.index.ravdess import Channel, Modality, index_ravdess
from pipeline.index.savee import index_savee
from pipeline.index.sets import NUM_SETS

Command = TypeVar("Command", bound=Callable[..., Any])


class WrongUseError(click.ClickException):
    """The corpus or the output isn't what was asked for; nothing was written."""

    exit_code = 2


_ROOT = click.argument("root", type=click.Path(path_type=Path))
_KEEP_DEFECTS = click.option(
    "--keep-defects", is_flag=True, help="Keep clips that are known to be broken (else left out)."
)
_MEDIA = click.option(
    "--media",
    type=click.Choice(get_args(Media)),
    default="best",
    show_default=True,
    help="Kind of file to index; best: the video, or the audio if there is none.",
)
_TEST_SET = click.option(
    "--test-set",
    metavar="N",
    type=click.IntRange(1, NUM_SETS),
    help="Published set to write as the splits train and test (default: folds only).",
)


class RecipeGroup(Group):
    """The recipes of avfuse, then those of plug-ins, which are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the recipes."""
        return [*super().list_commands(ctx), *read_plugins(CORPORA)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a recipe's command; None for an unknown name."""
        command = super().get_command(ctx, cmd_name)
        plugin = read_plugins(CORPORA).get(cmd_name) if command is None else None
        return command if plugin is None else _plugin_command(plugin)


@click.group(cls=RecipeGroup)
def index() -> None:
    """Write a manifest, the table of a corpus's clips, from the corpus's own layout.

    Reads names and tables, and opens no media file. Prints every clip that is left out, with the
    reason. A missing file is a warning; a corpus without clips is an error.
    """


def _output(command: Command) -> Command:
    """Add the options that every recipe has."""
    added = (
        click.option(
            "-o", "--out", required=True, type=click.Path(path_type=Path), help="Manifest to write."
        ),
        click.option(
            "--map",
            "maps",
            multiple=True,
            metavar="OLD=NEW",
            help="Write label NEW where the corpus has OLD; may be given several times.",
        ),
        options.FOLLOW_LINKS,
        click.option("--overwrite", is_flag=True, help="Replace an existing manifest."),
        options.JSON,
    )
    for option in reversed(added):
        command = option(command)
    return command


@index.command()
@_ROOT
@click.option(
    "--label-level",
    metavar="N",
    type=click.IntRange(1, MAX_DEPTH),
    help="Level of the folders named as the classes; 1 is the first below ROOT "
    "(default: the first below the splits).",
)
@click.option(
    "--speaker-level",
    metavar="N",
    type=click.IntRange(1, MAX_DEPTH),
    help="Level of the folders named as the speakers (default: no speakers).",
)
@_output
def folder(root: Path, label_level: int | None, speaker_level: int | None, **output: Any) -> None:
    """Index ROOT/<class>/..., or ROOT/<train|val|test>/<class>/...

    Folders of speakers above those of the classes, ROOT/<speaker>/<class>/..., need --label-level 2
    --speaker-level 1. A clip's id is its path, escaped: angry/clip01.mp4 becomes angry--clip01.mp4;
    where that would be too long, it ends in a digest of the path.
    """
    _run(
        partial(index_folder, root, label_level=label_level, speaker_level=speaker_level), **output
    )


def _column_options(command: Command) -> Command:
    for name in reversed(COLUMNS):
        flag = name.removesuffix("_seconds").replace("_", "-")
        default = {"clip": "clip, else ids from the paths"}.get(name, name)
        command = click.option(
            f"--{flag}-column",
            metavar="NAME",
            help=f"Column of the table that holds {name} (default: {default}).",
        )(command)
    return command


@index.command("csv")
@click.argument("table", metavar="FILE", type=click.Path(path_type=Path))
@_column_options
@click.option(
    "--path",
    metavar="TEMPLATE",
    help="Path made from columns, as '{video_id}/{clip_id}.mp4'; {clip_id:04d} has four digits.",
)
@click.option(
    "--delimiter", metavar="CHAR", help="Character between fields, or tab (default: detected)."
)
@click.option(
    "--encoding", metavar="NAME", help="For example cp1252 or gb18030 (default: UTF-8 or UTF-16)."
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder that relative paths start from (default: that of the table).",
)
@_output
def csv_(
    table: Path,
    path: str | None,
    delimiter: str | None,
    encoding: str | None,
    root: Path | None,
    **output: Any,
) -> None:
    """Index the files that a table lists, its columns mapped by options.

    Reads what spreadsheet programs, pandas and R write: UTF-8 and UTF-16, a first line sep=;,
    decimal commas, times as 00:01:02.5, folds as 1.0, splits as Training, dev or Testing. Empty,
    NA, NaN and NULL are no value. Paths may lack their suffix (refused where two files fit), have
    backslashes, or start at a drive or folder of another machine.
    """
    columns = {}
    for name in COLUMNS:
        value = output.pop(f"{name.removesuffix('_seconds')}_column")
        if value is not None:
            columns[name] = value
    if delimiter in ("tab", "\\t"):
        delimiter = "\t"
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise click.BadParameter(f"expected one character or 'tab', got {delimiter!r}")
    _run(
        partial(
            index_csv,
            table,
            columns=columns,
            path=path,
            delimiter=delimiter,
            encoding=encoding,
            root=root,
        ),
        **output,
    )


@index.command()
@_ROOT
@click.option(
    "--modality",
    type=click.Choice(get_args(Modality)),
    default="best",
    show_default=True,
    help="Kind of file to index; best: one per take, with picture and sound if there is one.",
)
@click.option(
    "--channel",
    type=click.Choice(get_args(Channel)),
    default="speech",
    show_default=True,
    help="Vocal channel to index.",
)
@_output
def ravdess(root: Path, modality: Modality, channel: Channel, **output: Any) -> None:
    """Index RAVDESS: 01-01-05-01-02-01-16.mp4, in Actor_NN folders or flat."""
    _run(partial(index_ravdess, root, modality=modality, channel=channel), **output)


@index.command("crema-d")
@_ROOT
@_MEDIA
@click.option(
    "--label-target",
    type=click.Choice(get_args(LabelTarget)),
    default="acted",
    show_default=True,
    help="Labels: the emotion that was acted, or the one that most raters chose (ties left out).",
)
@click.option(
    "--raters",
    type=click.Choice(get_args(Raters)),
    default="audio-visual",
    show_default=True,
    help="With --label-target crowd: raters by what they were shown of a take.",
)
@_KEEP_DEFECTS
@_output
def crema_d(
    root: Path,
    media: Media,
    label_target: LabelTarget,
    raters: Raters,
    *,
    keep_defects: bool,
    **output: Any,
) -> None:
    """Index CREMA-D: VideoFlash/1001_DFA_ANG_XX.flv, for the crowd's labels processedResults."""
    _run(
        partial(
            index_crema_d,
            root,
            media=media,
            label_target=label_target,
            raters=raters,
            keep_defects=keep_defects,
        ),
        **output,
    )


@index.command()
@_ROOT
@_output
def enterface(root: Path, **output: Any) -> None:
    """Index eNTERFACE'05: subject 1/anger/sentence 1/s1_an_1.avi."""
    _run(partial(index_enterface, root), **output)


@index.command()
@_ROOT
@_MEDIA
@_output
def savee(root: Path, media: Media, **output: Any) -> None:
    """Index SAVEE: AudioVisualClip/DC/a01.avi, AudioData/DC/a01.wav."""
    _run(partial(index_savee, root, media=media), **output)


@index.command()
@_ROOT
@click.option(
    "--view",
    type=click.Choice(get_args(View)),
    default="front",
    show_default=True,
    help="Camera whose videos are indexed.",
)
@click.option(
    "--media",
    type=click.Choice(("video", "audio")),
    default="video",
    show_default=True,
    help="Kind of file to index; MEAD has picture and sound in files of their own.",
)
@_output
def mead(root: Path, view: View, media: Any, **output: Any) -> None:
    """Index MEAD: M003/video/front/angry/level_1/001.mp4."""
    _run(partial(index_mead, root, view=view, media=media), **output)


@index.command()
@_ROOT
@_MEDIA
@_output
def iemocap(root: Path, media: Media, **output: Any) -> None:
    """Index IEMOCAP: Session1/dialog/EmoEvaluation/*.txt, cuts of dialog/avi/DivX/*.avi."""
    _run(partial(index_iemocap, root, media=media), **output)


@index.command("ch-sims")
@_ROOT
@click.option(
    "--annotation",
    type=click.Choice(get_args(Annotation)),
    default="multimodal",
    show_default=True,
    help="Annotation taken as labels: of all modalities together, or of one alone.",
)
@_output
def ch_sims(root: Path, annotation: Annotation, **output: Any) -> None:
    """Index CH-SIMS (v2 too): label.csv or meta.csv, Raw/video_0001/0001.mp4."""
    _run(partial(index_ch_sims, root, annotation=annotation), **output)


@index.command()
@_ROOT
@click.option(
    "--annotation",
    type=click.Choice(get_args(MafwAnnotation)),
    default="single",
    show_default=True,
    help="Annotation taken as labels: the sets of single or of compound emotions.",
)
@_TEST_SET
@_output
def mafw(root: Path, annotation: MafwAnnotation, test_set: int | None, **output: Any) -> None:
    """Index MAFW: single/no_caption/set_1/train.txt, clips/00001.mp4."""
    _run(partial(index_mafw, root, annotation=annotation, test_set=test_set), **output)


@index.command("emo-db")
@_ROOT
@_output
def emo_db(root: Path, **output: Any) -> None:
    """Index EMO-DB: wav/03a01Fa.wav."""
    _run(partial(index_emo_db, root), **output)


@index.command()
@_ROOT
@click.option("--keep-shared", is_flag=True, help="Keep training clips that are test clips, too.")
@_output
def afew(root: Path, *, keep_shared: bool, **output: Any) -> None:
    """Index AFEW: Train_AFEW/Angry/*.avi, Val_AFEW/..., the test clips unlabelled."""
    _run(partial(index_afew, root, keep_shared=keep_shared), **output)


@index.command()
@_ROOT
@_TEST_SET
@_output
def dfew(root: Path, test_set: int | None, **output: Any) -> None:
    """Index DFEW: EmoLabel_DataSplit/test(single-labeled)/set_1.csv, Clip/original."""
    _run(partial(index_dfew, root, test_set=test_set), **output)


@index.command()
@_ROOT
@click.option(
    "--subset",
    "subsets",
    type=click.Choice(SUBSETS),
    multiple=True,
    default=SUBSETS,
    help="Subset to index; may be given several times (default: all).",
)
@_output
def mer2023(root: Path, subsets: Sequence[str], **output: Any) -> None:
    """Index MER 2023: train-label.csv and train/, test1 to test3 likewise."""
    _run(partial(index_mer2023, root, subsets=subsets), **output)


@index.command()
@_ROOT
@_KEEP_DEFECTS
@_output
def meld(root: Path, *, keep_defects: bool, **output: Any) -> None:
    """Index MELD: train_sent_emo.csv and train_splits/dia0_utt0.mp4, dev and test likewise."""
    _run(partial(index_meld, root, keep_defects=keep_defects), **output)


def _plugin_command(plugin: Plugin) -> click.Command:
    """Make a command of a plug-in's recipe; to ask for its help imports nothing."""
    made_by = f"{plugin.distribution} {plugin.version}"

    @click.command(plugin.name, help=f"Index ROOT by the recipe of the plug-in {made_by}.")
    @_ROOT
    @_output
    def command(root: Path, **output: Any) -> None:
        _run(partial(index_by_plugin, plugin.name, root), **output)

    return command


def _run(
    recipe: Callable[..., Found],
    *,
    out: Path,
    maps: Sequence[str],
    follow_links: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    try:
        summary = index_into(
            recipe,
            out,
            labels=_parse_maps(maps),
            follow_links=follow_links,
            overwrite=overwrite,
        )
    except (IndexingError, PluginError, ManifestError, FileExistsError, CacheWriteError) as error:
        raise WrongUseError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or out}: {error.strerror}") from error
    if as_json:
        click.echo(json.dumps(summary.to_json()))
        return
    for line in summary.lines():
        click.echo(line)
    for warning in summary.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)


def _parse_maps(maps: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in maps:
        # A label may begin with the sign, as a formula does: the first letter is always its own.
        old, equals, new = (part.strip() for part in text.strip()[1:].partition("="))
        old = text.strip()[:1] + old
        if not (old and equals and new):
            raise click.BadParameter(f"expected OLD=NEW, got {text!r}", param_hint="--map")
        if labels.setdefault(old, new) != new:
            raise click.BadParameter(f"{old!r} is mapped twice", param_hint="--map")
    return labels
