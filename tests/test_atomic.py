from __future__ import annotations

from pathlib import Path

import pytest

from sb3_integral.atomic import atomic_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_stands_at_its_path_and_nothing_beside_it(tmp_path: Path) -> None:
    # given
    path = tmp_path / "deep" / "er" / "table.csv"
    # when
    with atomic_path(path) as partial:
        partial.write_text("a,b\n")
    # then
    assert path.read_text() == "a,b\n"
    assert names(path.parent) == ["table.csv"]


def test_until_the_block_ends_the_old_file_stands(tmp_path: Path) -> None:
    # given
    path = tmp_path / "model.zip"
    path.write_text("old")
    # when
    with atomic_path(path) as partial:
        partial.write_text("new")
        during = path.read_text()
    # then
    assert during == "old"
    assert path.read_text() == "new"


def test_the_path_to_write_to_is_free_beside_the_target_and_ends_as_it_does(tmp_path: Path) -> None:
    # when
    with atomic_path(tmp_path / "plot.png") as partial:
        existed = partial.exists()
        partial.touch()
    # then
    assert not existed
    assert partial.parent == tmp_path
    assert partial.suffix == ".png"


def test_two_blocks_for_one_path_do_not_share_what_they_write(tmp_path: Path) -> None:
    # given
    path = tmp_path / "file"
    # when
    with atomic_path(path) as outer:
        outer.write_text("outer")
        with atomic_path(path) as inner:
            inner.write_text("inner")
        between = path.read_text()
    # then
    assert (between, path.read_text()) == ("inner", "outer")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_and_passes_through(
    tmp_path: Path, error: type[BaseException]
) -> None:
    # given
    def write() -> None:
        with atomic_path(tmp_path / "file.txt") as partial:
            partial.write_text("half")
            raise error("while writing")

    # when / then
    with pytest.raises(error, match="while writing"):
        write()
    assert names(tmp_path) == []


def test_an_exception_keeps_the_old_file(tmp_path: Path) -> None:
    # given
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half")
            raise RuntimeError("while writing")

    # when / then
    with pytest.raises(RuntimeError, match="while writing"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    # given
    path = tmp_path / "stage"
    path.mkdir()
    (path / "stale.txt").write_text("old")
    # when
    with atomic_path(path) as partial:
        partial.mkdir()
        (partial / "fresh.txt").write_text("new")
    # then
    assert names(path) == ["fresh.txt"]
    assert names(tmp_path) == ["stage"]


def test_an_exception_keeps_the_old_folder(tmp_path: Path) -> None:
    # given
    path = tmp_path / "stage"
    path.mkdir()
    (path / "old.txt").write_text("old")

    def write() -> None:
        with atomic_path(path) as partial:
            (partial / "inside").mkdir(parents=True)
            (partial / "inside" / "half.txt").write_text("half")
            raise RuntimeError("while writing")

    # when / then
    with pytest.raises(RuntimeError, match="while writing"):
        write()
    assert names(path) == ["old.txt"]
    assert names(tmp_path) == ["stage"]


def test_a_file_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    # given
    path = tmp_path / "result"
    path.mkdir()
    (path / "old.txt").write_text("old")
    # when
    with atomic_path(path) as partial:
        partial.write_text("new")
    # then
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "kind",
    [
        "file",
        "folder",
    ],
)
def test_a_block_that_writes_nothing_fails_and_keeps_what_was_there(tmp_path: Path, kind: str) -> None:
    # given
    path = tmp_path / "result"
    if kind == "file":
        path.write_text("old")
    else:
        path.mkdir()

    def write() -> None:
        with atomic_path(path):
            pass

    # when / then
    with pytest.raises(FileNotFoundError):
        write()
    assert names(tmp_path) == ["result"]
