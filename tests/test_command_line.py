"""The command line answers at once: a help or a refusal loads no library that takes a second."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cache.settings import parse_overrides, settings_from
from extractors.running.device import may_have_gpu
from pipeline.cli import main
from pipeline.commands.group import Group
from pipeline.doctor.settings import DoctorSettings
from pipeline.extract.settings import load_settings as load_stage_one
from trainer.settings import load_settings
from trainer.stills.settings import load_config

ROOT = Path(__file__).parent.parent
MANIFEST = ROOT / "tests" / "golden" / "corpus" / "manifest.csv"
HEAVY = {"torch", "dlib", "cv2", "av", "matplotlib", "sklearn", "scipy", "pandas"}
# Runs one command after another in a process of its own; says of each how it ended, and at the
# end which of the heavy libraries were loaded.
RUN = """
import contextlib, io, json, sys
from pipeline.cli import main
results = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(words, prog_name="avfuse")
        except SystemExit as end:
            results.append([words, end.code, said.getvalue()])
    loaded = sorted(set(sys.modules) & set(json.loads(sys.argv[2])))
    if loaded:
        break
print(json.dumps([results, loaded]))
"""


def run_all(commands: list[list[str]], folder: Path) -> list[tuple[list[str], int, str]]:
    """Run commands in one real process; fails at the first that loads a heavy library."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands), json.dumps(sorted(HEAVY))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    results, loaded = json.loads(done.stdout)
    assert loaded == [], f"loaded by {commands[len(results) - 1]}"
    return [(words, code, text) for words, code, text in results]


def all_commands(
    command: click.Command = main, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and subcommand with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from all_commands(child, (*words, name))


COMMANDS = {" ".join(words) or "avfuse": (words, command) for words, command in all_commands()}


def test_every_help_is_printed_without_a_heavy_library(tmp_path: Path) -> None:
    results = run_all([[*words, "--help"] for words, _ in COMMANDS.values()], tmp_path)
    assert len(results) == len(COMMANDS) > 30
    for words, code, text in results:
        assert code == 0, text
        assert text.startswith(f"Usage: {' '.join(['avfuse', *words[:-1]])} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_list_of_commands_shows_the_whole_line_of_each(name: str) -> None:
    words, command = COMMANDS[name]
    text = CliRunner().invoke(main, [*words, "--help"]).output
    said = " ".join(text.partition("Commands:")[2].split())
    if isinstance(command, Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            line = command.describe_command(context, child)
            assert line.endswith((".", "..."))
            assert f"{child} {' '.join(line.split())}" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_that_is_a_whole_phrase(name: str) -> None:
    _, command = COMMANDS[name]
    assert (command.help or "").strip()
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            text = (option.help or "").strip()
            assert text.endswith((".", "]")), f"{option.opts}: {text!r}"
            assert text[0].isupper(), f"{option.opts}: {text!r}"
            assert len(text.split()) > 1, f"{option.opts}: {text!r}"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_of_one_name_means_one_thing(name: str) -> None:
    _, command = COMMANDS[name]
    for option in command.params:
        if "--set" in option.opts:
            assert option.metavar == "KEY=VALUE"
        if "--out" in option.opts or "-o" in option.opts:
            assert option.opts == ["-o", "--out"]
        assert not set(option.opts) & {"--output", "--report", "--resume"}


def test_what_the_machine_refuses_is_said_without_a_traceback() -> None:
    long = "n" * 300
    run = ROOT / "tests" / "golden" / "layout-1" / "run"
    for words in (["predict", f"{long}.mp4"], ["report", str(run), "-o", long], ["doctor", long]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 1
        assert result.stderr.endswith(f"{words[-1]}: File name too long\n")
        assert isinstance(result.exception, SystemExit)


def test_an_option_of_one_name_has_one_help_in_every_command() -> None:
    """Compared up to the first ``:;(,.``: a default, an example or a list of choices may differ."""
    name_their_object = {"--array", "--network", "--out", "--overwrite", "--sets", "--weights"}
    phrases: dict[str, set[str]] = {}
    for _, command in COMMANDS.values():
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                phrase = re.split("[:;(,.]", option.help or "")[0].strip()
                phrases.setdefault(option.opts[-1], set()).add(phrase)
    differing = {name: texts for name, texts in phrases.items() if len(texts) > 1}
    assert differing.keys() == name_their_object, differing


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("extract", load_stage_one),
        ("predict", load_stage_one),
        ("doctor", lambda given: settings_from(DoctorSettings, parse_overrides(given))),
        ("train", lambda given: load_settings("icmi19", given)),
        ("finetune", lambda given: load_config(None, None, given)),
    ],
)
def test_the_example_of_set_is_a_setting_of_the_command(
    name: str, read: Callable[[list[str]], object]
) -> None:
    text = " ".join(CliRunner().invoke(main, [name, "--help"]).output.split())
    example = text.partition("One setting, such as ")[2].partition(";")[0]
    assert read([example]) != read([])


EXTRACT = ["extract", str(MANIFEST), "--cache", "c", "--sets"]
TRAIN = ["train", str(MANIFEST), "--cache", "c", "--run", "r"]
FINETUNE = ["finetune", str(MANIFEST), "--run", "r"]
REFUSED: list[tuple[list[str], str]] = [
    (["extract", "gone.csv", "--cache", "c", "--sets", "ir50"], "gone.csv: no such file"),
    ([*EXTRACT, "ir51"], "no set 'ir51' (did you mean ir50?); there are faces, identity, ir50"),
    ([*EXTRACT, "ir50", "--precision", "fp8"], "'fp8' is not one of 'fp32', 'bf16', 'fp16'"),
    ([*EXTRACT, "ir50", "--views", "broad"], "'broad' is not one of 'default', 'wide', 'basic'"),
    ([*EXTRACT, "ir50", "--weights", "ir51=random"], "no network 'ir51'"),
    ([*EXTRACT, "ir50", "--weights", "ir50=gone.pth"], "gone.pth is not a file"),
    (
        [*EXTRACT, "ir50", "--weights", f"ir50={MANIFEST}"],
        "csv is no weight file of safetensors or",
    ),
    ([*EXTRACT, "resnet18,ir50"], "ir50 needs weights: pass --weights ir50=FILE"),
    ([*EXTRACT, "ir50", "--shard", "9/8"], "expected I/N with I from 1 to N"),
    ([*EXTRACT, "spectrogram", "--overrides", "gone.csv"], "gone.csv: not a file; expected a CSV"),
    (
        ["extract", str(MANIFEST), "--cache", str(MANIFEST), "--sets", "faces"],
        "is a file; expected",
    ),
    ([*EXTRACT, "ir50", "--engine", "slurm"], "'slurm' is not one of 'local', 'dask', 'ray'"),
    ([*EXTRACT, "ir50", "--veiws", "wide"], "'--views'"),
    ([*EXTRACT, "faces", "--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
    ([*EXTRACT, "alexnet"], "alexnet needs the audio encoder of a trained run"),
    ([*EXTRACT, "alexnet", "--weights", "alexnet=gone"], "gone is neither a checkpoint nor"),
    ([*EXTRACT, "faces", "--weights", "ir50=random"], "ir50 is not among --sets faces"),
    ([*EXTRACT, "faces", "--set", "unknown.key=1"], "unknown setting unknown. Known here: decode"),
    ([*EXTRACT, "faces", "--set", "hang_seconds=0"], "hang_seconds must be above 0"),
    ([*EXTRACT, "faces", "--config", "gone.toml"], "gone.toml is not a file; expected a TOML"),
    (
        [*EXTRACT, "resnet18", "--set", "network.layer=fc6"],
        "resnet18 has the layers embedding, pooled, not 'fc6'",
    ),
    ([*EXTRACT, "faces", "--out", "/proc/x.json"], "can't be written to /proc"),
    ([*EXTRACT, "faces", "--out", "/proc"], "/proc is a folder; expected a file"),
    (["extract", str(MANIFEST), "--cache", "/proc/x", "--sets", "faces"], "x can't be written to"),
    (
        ["extract", str(MANIFEST), "--cache", f"{MANIFEST}/x", "--sets", "faces"],
        "manifest.csv is not a folder",
    ),
    (["doctor", "gone.csv"], "gone.csv is not a file"),
    (["inspect", "faces", str(MANIFEST), "--cache", "c", "-o", "o"], "c does not exist; expected"),
    (["inspect", "faces", "gone.csv", "--cache", "c", "-o", "o"], "gone.csv: no such file"),
    (["inspect", "faces", str(MANIFEST), "--cache", "c", "-o", "o", "--clip", "x"], "no clip 'x'"),
    (["inspect", "faces", str(MANIFEST), "--cache", "c", "-o", "o", "--size", "1"], "size must be"),
    (["persons", str(MANIFEST), "--cache", "c"], "c does not exist; expected"),
    (["persons", "gone.csv", "--cache", "c"], "gone.csv: no such file"),
    (["persons", str(MANIFEST), "--cache", "c", "--corrections", "gone.csv"], "does not exist"),
    (["cache", "status", "gone"], "gone does not exist"),
    (["cache", "verify", "gone"], "gone does not exist"),
    (["cache", "verfiy", "gone"], "No such command 'verfiy'. Did you mean 'verify'?"),
    (["weights", "check", "gone.pth"], "gone.pth does not exist"),
    (["weights", "convert", "gone.pth", "-o", "x.safetensors", "--network", "ir50"], "not exist"),
    (["weights", "convert", "gone.pth", "-o", "x.safetensors", "--network", "ir51"], "'ir51' is"),
    (["train", "gone.csv", "--cache", "c", "--run", "r"], "gone.csv: no such file"),
    (TRAIN, "c is not a folder"),
    ([*TRAIN, "--preset", "icmi18"], "unknown preset 'icmi18'"),
    ([*TRAIN, "--set", "video.st=1"], "unknown setting video.st; did you mean video.set?"),
    (["weights", "check", "."], ". is not a file"),
    (["weights", "check", str(MANIFEST)], "is no weight file of safetensors or PyTorch; it begins"),
    (
        ["weights", "convert", str(MANIFEST), "-o", "x.safetensors", "--network", "ir50"],
        "csv is no weight file",
    ),
    (["weights", "convert", ".", "-o", "x.safetensors", "--network", "ir50"], ". is not a file"),
    (["train", str(MANIFEST), "--cache", ".", "--run", "/proc/x"], "x can't be written to /proc"),
    (
        ["train", str(MANIFEST), "--cache", ".", "--run", "r", "--packs", "/proc/x"],
        "x can't be written to /proc",
    ),
    (
        ["train", str(MANIFEST), "--cache", ".", "--run", "r", "--device", "tpu"],
        "expected auto, cpu, cuda or cuda:N",
    ),
    (["finetune", "gone", "--run", "r"], "gone does not exist"),
    ([*FINETUNE, "--network", "ir51"], "'ir51' is not one of 'ir50'"),
    ([*FINETUNE, "--set", "epocs=3"], "unknown setting epocs; did you mean epochs?"),
    ([*FINETUNE, "--set", "optim.epochs=3"], "unknown setting optim; did you mean epochs?"),
    (["sweep", "gone.toml", str(MANIFEST), "--cache", "c", "-o", "o"], "unknown sweep"),
    (
        ["sweep", "icmi19-table3", str(MANIFEST), "--cache", ".", "-o", "/proc/x"],
        "x can't be written to /proc",
    ),
    (
        ["sweep", "icmi19-table3", str(MANIFEST), "--cache", ".", "-o", "o", "--device", "tpu"],
        "expected auto, cpu, cuda or cuda:N",
    ),
    (["evaluate", "gone"], "gone is not a run folder"),
    (["report", "gone", "-o", "x.html"], "gone is not a run folder"),
    (["compare", "gone", "gone"], "gone is not a run folder"),
    (["ensemble", "gone", "gone", "-o", "x"], "gone is named twice"),
    (["ensemble", "gone", "away", "-o", "x"], "gone is not a run folder"),
    (["predict", "gone", "video.mp4"], "gone is not a run folder"),
    (["predict", "video.mp4", "--curve", "c.pdf"], "ends in .csv; --plot draws it"),
    (["predict", "video.mp4", "--plot", "c.jpg"], "ends in .png, .pdf or .svg"),
    (["predict", "a.mp4", "b.mp4", "--video", "c.mp4"], "2 videos are no one film; name a folder"),
    (["predict", "gone.mp4"], "gone.mp4: no such file"),
    (["predict", str(MANIFEST), "--curve", "/proc/x.csv"], "proc can't be written to /proc"),
    (["predict", str(MANIFEST), "--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
    (["demo", "gone", "--speakers", "1"], "1 is not in the range"),
    (["demo", "-o", "/proc/x"], "/proc/x can't be written to /proc: nothing can be made there;"),
    (["demo", "-o", str(MANIFEST)], "manifest.csv is not a folder"),
    (["index", "folder", ".", "-o", "/proc/x/m.csv"], "x can't be written to /proc"),
    (["index", "folder", ".", "-o", str(MANIFEST / "m.csv")], "manifest.csv is not a folder"),
    (["index", "folder", ".", "-o", "."], ". is a folder; expected a file"),
    (["index", "foldr", "x", "-o", "m.csv"], "No such command 'foldr'. Did you mean 'folder'?"),
    (["trian"], "No such command 'trian'. Did you mean 'train'?"),
    (["frobnicate"], "No such command 'frobnicate'. There are index, doctor, extract"),
]


def test_every_wrong_name_and_path_is_refused_without_a_heavy_library(tmp_path: Path) -> None:
    results = run_all([words for words, _ in REFUSED], tmp_path)
    assert len(results) == len(REFUSED)
    for (words, code, text), (_, message) in zip(results, REFUSED, strict=True):
        assert code != 0, words
        assert message in " ".join(text.split()), (words, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(may_have_gpu(), reason="this machine may have a GPU: PyTorch is asked")
def test_a_gpu_that_cannot_be_there_is_refused_without_a_heavy_library(tmp_path: Path) -> None:
    cuda = ["--device", "cuda"]
    commands = [
        [*EXTRACT, "faces", *cuda],
        ["train", str(MANIFEST), "--cache", ".", "--run", "r", *cuda],
        ["sweep", "icmi19-table3", str(MANIFEST), "--cache", ".", "-o", "o", *cuda],
        ["predict", str(MANIFEST), *cuda],
    ]
    for words, code, text in run_all(commands, tmp_path):
        assert code == 2, words
        assert "there are no CUDA devices here" in " ".join(text.split()), (words, text)


def test_ctrl_c_while_a_command_still_loads_ends_it_with_a_word(tmp_path: Path) -> None:
    """A real SIGINT at a real import: a module that the command loads interrupts its process."""
    (tmp_path / "dlib.py").write_text(
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "doctor", str(MANIFEST)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        timeout=120,
    )
    assert done.returncode == 130
    assert done.stderr.endswith("Stopped (SIGINT).\n")
    assert "Traceback" not in done.stderr
