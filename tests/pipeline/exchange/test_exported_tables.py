"""Exports to parquet, hf and MMSA, read back by these tools' own readers."""

from __future__ import annotations

import csv
import importlib.util
import json
import pickle
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.manifest.manifest import read_manifest, write_manifest
from cache.sets.feature_set import FeatureSet, SetSpec, find_set
from pipeline.cli import main
from pipeline.exchange import mmsa, parquet
from pipeline.exchange.exported import Array, ExportError
from pipeline.exchange.exporting import FORMS, export_features
from tests.pipeline.exchange.exported_helper import CLIPS, DIM, make_export


def export(cache: Path, out: Path, form: str, *words: object, sets: str = "ir50 logmel") -> Result:
    names = sets.split()
    arrays = [part for name in names for part in ("--array", ARRAYS[name])]
    command = ["cache", "export", cache, *names, *arrays, "--to", form, "-o", out, *words]
    return CliRunner().invoke(main, [str(word) for word in command])


ARRAYS = {"ir50": "basic", "logmel": "logmel", "resnet18": "basic"}


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """A cache of two sets whose steps differ in number, and the clips' manifest."""
    return make_export(tmp_path)


def stored(cache: Path, name: str, clip: str) -> np.ndarray:
    return find_set(cache, name).read(clip).arrays[ARRAYS[name]]


def test_pandas_and_pyarrow_read_every_number(made: tuple[Path, Path], tmp_path: Path) -> None:
    pandas, reader = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    cache, manifest = made
    result = export(cache, tmp_path / "x.parquet", "parquet", "--manifest", manifest)
    assert result.exit_code == 0, result.output
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    rows = read_manifest(manifest, check_files=False).by_id
    assert list(frame["clip"]) == list(CLIPS)
    for _, row in frame.iterrows():
        about = rows[row["clip"]]
        assert (row.label, row.speaker) == (about.label, about.speaker)
        assert (None if pandas.isna(row.split) else row.split) == about.split
        assert (None if pandas.isna(row.fold) else row.fold) == about.fold
        values = stored(cache, "ir50", row["clip"])
        read = np.stack(row.ir50_basic) if len(row.ir50_basic) else np.zeros((0, DIM), np.float32)
        assert np.array_equal(read, values)
        assert read.dtype == values.dtype
        assert len(row.ir50_times) == len(values)
    table = reader.read_table(tmp_path / "x.parquet")
    for number, clip in enumerate(CLIPS):
        values = stored(cache, "logmel", clip)  # (T, bins, channels)
        flat = table["logmel_logmel"][number].values.flatten().flatten().to_numpy()
        assert np.array_equal(flat.reshape(values.shape), values)
        assert np.allclose(np.diff(table["logmel_times"][number].values.to_numpy()), 0.01)
    facts = json.loads(table.schema.metadata[b"avfuse"])
    assert facts["columns"]["ir50_basic"] == find_set(cache, "ir50").folder.name
    assert next(iter(facts["sets"].values()))["key"] == find_set(cache, "ir50").spec.key
    assert "host" not in json.dumps(facts)  # the table may be published


def test_row_groups_are_bounded_and_the_same_features_make_the_same_bytes(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "GROUP_CLIPS", 3)
    for name in "ab":
        assert export(made[0], tmp_path / name, "parquet").exit_code == 0
    assert reader.ParquetFile(tmp_path / "a").num_row_groups == 3  # of 3, 3 and 2 clips
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    assert export(made[0], tmp_path / "c", "parquet").exit_code == 0
    assert reader.ParquetFile(tmp_path / "c").num_row_groups == len(CLIPS)
    columns = reader.read_table(tmp_path / "a").column_names
    assert columns[:5] == ["clip", "label", "split", "fold", "speaker"]
    assert reader.read_table(tmp_path / "a")["label"].null_count == len(CLIPS)  # no manifest


@pytest.mark.slow
def test_datasets_reads_the_folder_offline(made: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    cache, manifest = made
    result = export(cache, tmp_path / "hf", "hf", "--manifest", manifest)
    assert "1 clip without a split: in the split unsplit" in result.output
    # Another process: the library reads its settings when it is imported, and opens no socket.
    script = """
import json, socket, sys
def refuse(*_): raise AssertionError("a connection was tried")
socket.socket.connect = refuse
import datasets
found = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])
row = found["train"].with_format("numpy")[0]
print(json.dumps({
    "splits": {name: part["clip"][:] for name, part in found.items()},
    "labels": found["test"]["label"][:], "folds": found["test"]["fold"][:],
    "dtype": str(row["ir50_basic"].dtype), "values": row["ir50_basic"].tolist(),
    "shape": row["logmel_logmel"].shape,
}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "hf", tmp_path / "cached"],
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["splits"] == {
        "train": ["a", "b", "f"], "validation": ["c", "g"], "test": ["d", "h"], "unsplit": ["e"],
    }  # fmt: skip
    rows = read_manifest(manifest, check_files=False).by_id
    assert read["labels"] == [rows["d"].label, rows["h"].label]
    assert read["folds"] == [rows["d"].fold, rows["h"].fold]
    assert np.array_equal(np.array(read["values"], np.float32), stored(cache, "ir50", "a"))
    assert read["dtype"] == "float32"
    assert tuple(read["shape"]) == stored(cache, "logmel", "a").shape


def test_the_card_says_what_is_in_the_folder_and_text_stays_text(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    cache, _ = made
    result = export(cache, tmp_path / "hf", "hf")
    assert "no clip is in a split: all are in the split train" in result.output
    card = (tmp_path / "hf" / "README.md").read_text()
    assert card.startswith("---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train")
    assert "| train | 8 clips |" in card
    assert "| `ir50_basic` | `list<item: fixed_size_list<item: float>[5]>` |" in card
    # A setting with what would end the block of JSON: nothing of it is Markdown.
    assert card.count("```") == 2
    assert "\\u0060\\u0060\\u0060 <script>" in card
    facts = json.loads(card.split("```json\n")[1].split("\n```")[0])
    assert "``` <script>" in json.dumps(facts)


def test_mmsa_finds_its_keys_with_their_shapes(made: tuple[Path, Path], tmp_path: Path) -> None:
    cache, manifest = made
    result = export(cache, tmp_path / "f.pkl", "mmsa", "--manifest", manifest)
    assert result.exit_code == 0, result.output
    assert "a pickle, as MMSA wants it; labels are 0 angry, 1 happy" in result.output
    assert "1 clip without a label or a split left out: e" in result.output
    data = pickle.loads((tmp_path / "f.pkl").read_bytes())  # noqa: S301 - we have just written it
    assert list(data) == ["train", "valid", "test"]
    rows = read_manifest(manifest, check_files=False).by_id
    longest = {
        name: max(len(stored(cache, name, clip)) for clip in CLIPS if clip != "e")
        for name in ("ir50", "logmel")
    }
    for split in data.values():
        n = len(split["id"])
        assert split["vision"].shape == (n, longest["ir50"], DIM)
        assert split["audio"].shape == (n, longest["logmel"], 7 * 3)
        assert split["text"].shape[:1] == (n,)
        assert len(split["raw_text"]) == n
        assert split["annotations"] == [rows[clip].label for clip in split["id"]]
        assert split["classification_labels"].tolist() == [
            ["angry", "happy"].index(label) for label in split["annotations"]
        ]
        assert split["regression_labels"].dtype == np.float32
        for name, key in (("ir50", "vision"), ("logmel", "audio")):
            assert type(split[f"{key}_lengths"]) is list
            for clip, padded, length in zip(
                split["id"], split[key], split[f"{key}_lengths"], strict=True
            ):
                values = stored(cache, name, clip)
                assert length == len(values)
                assert np.array_equal(
                    padded[:length], values.reshape(length, values[0].size if length else DIM)
                )
                assert not padded[length:].any()


def test_the_pickle_names_no_class_but_numpys_arrays(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    cache, manifest = made
    export(cache, tmp_path / "f.pkl", "mmsa", "--manifest", manifest)
    named: set[str] = set()

    class Listing(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            named.add(f"{module.replace('._core.', '.core.')}.{name}")
            return super().find_class(module, name)

    with (tmp_path / "f.pkl").open("rb") as file:
        Listing(file).load()
    assert named <= {
        "numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype",
        "numpy.core.numeric._frombuffer", "_codecs.encode",
    }  # fmt: skip


def test_mmsas_own_loader_reads_it(made: tuple[Path, Path], tmp_path: Path) -> None:
    found = importlib.util.find_spec("MMSA")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("MMSA isn't installed: pip install MMSA")
    cache, manifest = made
    export(cache, tmp_path / "f.pkl", "mmsa", "--manifest", manifest)
    path = Path(found.submodule_search_locations[0]) / "data_loader.py"
    spec = importlib.util.spec_from_file_location("mmsa_data_loader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # the module alone: the package wants transformers
    args = {"dataset_name": "mosi", "custom_feature": tmp_path / "f.pkl", "feature_dims": [0] * 3}
    args |= {"need_data_aligned": False, "batch_size": 3, "seq_lens": None}
    loaders = module.MMDataLoader(args | dict.fromkeys(("feature_T", "feature_A", "feature_V")), 0)
    batch = next(iter(loaders["train"]))
    assert sorted(batch["id"]) == ["a", "b", "f"]
    assert tuple(batch["vision"].shape[::2]) == (3, DIM)


def test_what_mmsa_cannot_hold_is_refused(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, manifest = made
    out = tmp_path / "f.pkl"
    assert "pass --manifest" in export(cache, out, "mmsa").stderr
    found = read_manifest(manifest, check_files=False)
    clips = [replace(clip, split="train") for clip in found.clips]
    trained = write_manifest(tmp_path / "train.csv", clips)
    result = export(cache, out, "mmsa", "--manifest", trained)
    assert "there are none in val, test" in result.stderr
    twice = export(cache, out, "mmsa", "--manifest", manifest, sets="ir50 resnet18")
    assert "ir50_basic (vision), resnet18_basic (vision)" in " ".join(twice.stderr.split())
    monkeypatch.setattr(mmsa, "MOST_BYTES", 1000)
    result = export(cache, out, "mmsa", "--manifest", manifest)
    assert "more than MMSA can hold in memory" in " ".join(result.stderr.split())
    assert not out.exists()


def test_of_sets_that_nobody_knows_the_first_is_vision(tmp_path: Path) -> None:
    def places(*names: str) -> dict[str, int]:
        made = [FeatureSet(tmp_path, SetSpec(name, {}, 1)) for name in names]
        return mmsa._find_places([Array(one, "values") for one in made])

    assert places("ir50", "logmel") == {"vision": 0, "audio": 1}
    assert places("logmel", "ir50") == {"audio": 0, "vision": 1}
    assert places("openface", "opensmile") == {"vision": 0, "audio": 1}
    assert places("opensmile", "ir50") == {"audio": 0, "vision": 1}
    assert places("logmel", "openface") == {"audio": 0, "vision": 1}
    assert places("logmel") == {"audio": 0}
    assert places("openface") == {"vision": 0}


def test_a_missing_library_is_named_with_its_extra(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for form in ("parquet", "hf"):
        result = export(made[0], tmp_path / "x", form)
        assert result.exit_code == 2
        assert "pip install 'avfuse[tables]'" in result.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("form", ["npy-folder", "parquet", "hf", "mmsa"])
def test_a_disk_that_is_full_leaves_nothing(
    form: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    if form in ("parquet", "hf"):
        pytest.importorskip("pyarrow")
    sets = "ir50" if form == "npy-folder" else "ir50 logmel"
    before = {*tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        result = export(made[0], tmp_path / "x", form, "--manifest", made[1], sets=sets)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 1
    assert "File too large" in result.stderr
    assert {*tmp_path.iterdir()} == before


@pytest.mark.parametrize("form", list(FORMS))
def test_what_is_there_is_never_replaced(
    form: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    out.write_text("mine")
    result = export(made[0], out, form, sets="ir50")
    assert result.exit_code == 2
    assert "mine exists; choose another name" in result.stderr
    assert out.read_text() == "mine"


def test_arrays_that_do_not_fit_together_are_refused(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    cache, _ = made
    assert "--to csv holds one array, got 2" in export(cache, tmp_path / "x", "csv").stderr
    twice = export(cache, tmp_path / "x", "parquet", sets="ir50 ir50")
    assert "two arrays would be called ir50_basic" in twice.stderr
    command = ["cache", "export", str(cache), "ir50", "logmel", "--array", "basic", "--to", "hf"]
    result = CliRunner().invoke(main, [*command, "-o", str(tmp_path / "x")])
    assert "one --array for each set, got 2 sets and 1 array" in " ".join(result.stderr.split())
    with pytest.raises(ExportError, match="there is no clip to export"):
        export_features([Array(find_set(cache, "ir50"), "basic")], [], "npz", tmp_path / "x")
    wide = FeatureSet(cache, SetSpec("wide", {}, 1)).create({})
    for number, clip in enumerate("ab"):
        with wide.writer(clip, source=made_source(), provenance={}) as writer:
            writer.append(times=np.zeros(1), basic=np.zeros((1, 3 + number), np.float32))
            writer.finish()
    with pytest.raises(ExportError, match=r"basic of clip b has rows of float32 \(4,\), and of cl"):
        export_features([Array(wide, "basic")], ["a", "b"], "npz", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def made_source() -> Any:
    from tests.trainer.persons_helper import SOURCE

    return SOURCE


def test_clips_without_an_entry_in_one_of_the_sets_are_named(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    cache, manifest = made
    find_set(cache, "logmel").entry_path("c").unlink()
    result = export(cache, tmp_path / "x", "npz", "--manifest", manifest, sets="logmel")
    assert "1 clip without an entry in logmel-" in result.stderr
    pytest.importorskip("pyarrow")
    result = export(cache, tmp_path / "x", "parquet", "--skip-missing")
    assert result.exit_code == 0
    assert "left out, 1 clip without an entry: c" in result.stderr
    assert f"{len(CLIPS) - 1} clips of ir50-" in result.stdout


def test_npz_and_csv_hold_what_the_manifest_says(made: tuple[Path, Path], tmp_path: Path) -> None:
    cache, manifest = made
    rows = read_manifest(manifest, check_files=False).by_id
    for form in ("npz", "csv"):
        result = export(cache, tmp_path / form, form, "--manifest", manifest, sets="ir50")
        assert result.exit_code == 0, result.output
    with np.load(tmp_path / "npz", allow_pickle=False) as archive:
        about = {name: archive[f"manifest/{name}"].tolist() for name in ("clip", "label", "fold")}
    assert about["clip"] == list(CLIPS)
    assert about["label"] == [rows[clip].label for clip in CLIPS]
    assert about["fold"] == [-1 if (fold := rows[clip].fold) is None else fold for clip in CLIPS]
    with (tmp_path / "csv").open(newline="") as file:
        for row in csv.DictReader(file):
            one = rows[row["clip"]]
            assert (row["label"], row["speaker"]) == (one.label, one.speaker)
            assert row["split"] == (one.split or "")
            assert row["fold"] == ("" if one.fold is None else str(one.fold))
