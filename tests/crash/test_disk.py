"""The model of a disk, on steps whose states can be counted by hand."""

from __future__ import annotations

from tests.crash.disk import (
    ROOT,
    SECTOR,
    Disk,
    Enter,
    Flush,
    Leave,
    Move,
    Resize,
    Step,
    Tree,
    Write,
    choose,
)

FILE, FOLDER = 7, 11


def states(start: Tree, *steps: Step) -> set[frozenset[tuple[str, bytes | None]]]:
    disk = Disk(start)
    for step in steps:
        disk.apply(step)
    return {frozenset(tree.items()) for tree in disk.after_cut()}


def contents(start: Tree, *steps: Step) -> set[bytes | None]:
    """What a file f may hold; all of its names are certain."""
    return {dict(state)["f"] for state in states(start, *steps)}


NEW = (Enter(ROOT, "f", FILE), Flush(ROOT))


def test_what_is_flushed_is_certain() -> None:
    steps = (*NEW, Write(FILE, 0, b"abc"), Flush(FILE))
    assert states({}, *steps) == {frozenset({("f", b"abc")})}


def test_a_new_file_may_be_missing_empty_full_of_zeros_or_whole() -> None:
    steps = (Enter(ROOT, "f", FILE), Write(FILE, 0, b"abc"))
    assert states({}, *steps) == {
        frozenset(),
        *(frozenset({("f", content)}) for content in (b"", b"\0\0\0", b"abc")),
    }


def test_a_flush_of_a_file_says_nothing_of_its_name_nor_that_of_a_folder_of_its_data() -> None:
    assert frozenset() in states({}, Enter(ROOT, "f", FILE), Write(FILE, 0, b"a"), Flush(FILE))
    assert contents({}, Enter(ROOT, "f", FILE), Write(FILE, 0, b"a"), Flush(ROOT)) >= {b"", b"a"}


def test_of_two_writes_either_may_be_missing() -> None:
    steps = (*NEW, Write(FILE, 0, b"ab"), Write(FILE, 2, b"cd"))
    assert contents({}, *steps) == {b"", b"ab", b"abcd", b"\0\0cd", b"\0\0\0\0"}


def test_a_write_is_torn_between_sectors_and_nowhere_else() -> None:
    old, new = b"o" * SECTOR * 3, b"n" * SECTOR * 3
    disk = Disk({"f": old})
    (node,) = disk.contents
    disk.apply(Write(node, 0, new))
    found = {dict(tree)["f"] for tree in disk.after_cut()}
    for content in found:
        assert content is not None
        sectors = [content[start : start + SECTOR] for start in range(0, len(content), SECTOR)]
        assert all(len(set(sector)) == 1 for sector in sectors)
    assert {b"n" * SECTOR + b"o" * SECTOR * 2, b"n" * SECTOR * 2 + b"o" * SECTOR} <= found


def test_a_length_may_be_set_or_not() -> None:
    disk = Disk({"f": b"abc"})
    (node,) = disk.contents
    disk.apply(Resize(node, 1))
    assert {dict(tree)["f"] for tree in disk.after_cut()} == {b"abc", b"a", b"\0"}


def test_a_rename_is_whole_and_may_come_before_the_data() -> None:
    disk = Disk({"f": b"old"})
    steps = (Enter(ROOT, "t", FILE), Write(FILE, 0, b"new"), Move(ROOT, "t", "f", FILE))
    for step in steps:
        disk.apply(step)
    found = [dict(tree) for tree in disk.after_cut()]
    assert {tree.get("f") for tree in found} == {b"old", b"", b"\0\0\0", b"new"}
    assert all(tree.get("f") == b"old" for tree in found if "t" in tree)


def test_a_removed_file_may_be_back_until_its_folder_is_flushed() -> None:
    assert states({"f": b"a"}, Leave(ROOT, "f")) == {frozenset(), frozenset({("f", b"a")})}
    assert states({"f": b"a"}, Leave(ROOT, "f"), Flush(ROOT)) == {frozenset()}


def test_a_folder_that_is_not_there_takes_its_files_with_it() -> None:
    steps = (
        Enter(ROOT, "d", FOLDER, is_folder=True),
        Enter(FOLDER, "f", FILE),
        Write(FILE, 0, b"a"),
        Flush(FILE),
        Flush(FOLDER),
    )
    assert states({}, *steps) == {frozenset(), frozenset({("d", None), ("d/f", b"a")})}


def test_after_a_flush_that_failed_the_next_one_makes_no_earlier_write_certain() -> None:
    steps = (*NEW, Write(FILE, 0, b"ab"), Flush(FILE, failed=True), Write(FILE, 2, b"c"))
    assert contents({}, *steps, Flush(FILE)) == {b"\0\0c", b"abc", b"\0\0\0"}


def test_subsets_are_all_of_a_few_and_the_telling_ones_of_many() -> None:
    assert len(set(choose(3))) == 2**3
    many = set(choose(23))
    everything = set(range(23))
    assert {(), tuple(everything)} <= many
    assert {tuple(range(size)) for size in range(24)} <= many
    assert {tuple(everything - {one}) for one in everything} <= many
    assert all((first, second) in many for first in range(23) for second in range(first + 1, 23))
