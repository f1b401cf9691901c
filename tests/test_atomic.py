from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_integral import atomic
from sb3_integral.atomic import (
    atomic_file,
    atomic_folder,
    check_file_target,
    check_folder_target,
    remove_leftovers,
)
from sb3_integral.file_list import listed_files, unlisted_files

MARKER = "stage.json"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_stands_at_its_path_and_nothing_beside_it(tmp_path: Path) -> None:
    # given
    path = tmp_path / "deep" / "er" / "table.csv"
    # when
    with atomic_file(path) as partial:
        partial.write_text("a,b\n")
    # then
    assert path.read_text() == "a,b\n"
    assert names(path.parent) == ["table.csv"]


def test_until_the_block_ends_the_old_file_stands(tmp_path: Path) -> None:
    # given
    path = tmp_path / "model.zip"
    path.write_text("old")
    # when
    with atomic_file(path) as partial:
        partial.write_text("new")
        during = path.read_text()
    # then
    assert during == "old"
    assert path.read_text() == "new"


def test_the_path_to_write_to_is_free_beside_the_target_and_ends_as_it_does(tmp_path: Path) -> None:
    # when
    with atomic_file(tmp_path / "plot.png") as partial:
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
    with atomic_file(path) as outer:
        outer.write_text("outer")
        with atomic_file(path) as inner:
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
        with atomic_file(tmp_path / "file.txt") as partial:
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
        with atomic_file(path) as partial:
            partial.write_text("half")
            raise RuntimeError("while writing")

    # when / then
    with pytest.raises(RuntimeError, match="while writing"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def write_text(path: Path | str, text: str = "new") -> None:
    with atomic_file(path) as partial:
        partial.write_text(text)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Files at special targets


def test_a_link_is_written_through_to_its_target(tmp_path: Path) -> None:
    # given
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.txt"
    target.write_text("old")
    (tmp_path / "link").symlink_to("elsewhere/real.txt")
    (tmp_path / "link-to-link").symlink_to("link")
    # when
    write_text(tmp_path / "link-to-link")
    # then
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "link-to-link").is_symlink()
    assert target.read_text() == "new"
    assert names(target.parent) == ["real.txt"]


def test_a_link_to_nothing_gets_its_target(tmp_path: Path) -> None:
    # given
    (tmp_path / "link").symlink_to("later/real.txt")
    # when
    write_text(tmp_path / "link")
    # then
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "later" / "real.txt").read_text() == "new"


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_gets_the_permissions_of_the_umask(tmp_path: Path, umask: int, expected: int) -> None:
    # when
    before = os.umask(umask)
    try:
        with atomic_file(tmp_path / "file") as partial:
            partial.write_text("new")
            partial.chmod(0o600)  # as some writers leave it
    finally:
        os.umask(before)
    # then
    assert mode(tmp_path / "file") == expected


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o755, 0o666])
def test_an_existing_file_keeps_its_permissions(tmp_path: Path, permissions: int) -> None:
    # given
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(permissions)
    # when
    write_text(path)
    # then
    assert path.read_text() == "new"
    assert mode(path) == permissions


def make_folder(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "mine.txt").write_text("years of work")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/null")


def make_circle(path: Path) -> None:
    path.symlink_to(path.name)


def make_link_to_folder(path: Path) -> None:
    make_folder(path.with_name("real"))
    path.symlink_to("real")


@pytest.mark.parametrize(
    "make",
    [make_folder, make_fifo, make_socket, make_device, make_circle, make_link_to_folder],
)
def test_what_is_no_regular_file_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    # given
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    path = Path("target")
    make(path)
    before = {found: found.lstat() for found in Path().rglob("*")}
    # when / then
    with pytest.raises(OSError, match="target") as raised:
        check_file_target(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(OSError, match="target"):
        write_text(path)
    after = {found: found.lstat() for found in Path().rglob("*")}
    assert {k: (v.st_ino, v.st_mode) for k, v in after.items()} == {
        k: (v.st_ino, v.st_mode) for k, v in before.items()
    }


@pytest.mark.parametrize("path", ["..", ".", "/", "", "deep/..", "new/"])
def test_a_path_that_ends_with_no_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # given
    (tmp_path / "home" / "deep").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "home")
    # when / then
    with pytest.raises(ValueError, match="does not end with a name"):
        write_text(path)
    with pytest.raises(ValueError, match="does not end with a name"), atomic_folder(path, MARKER):
        pass
    assert names(tmp_path) == ["home", "notes.txt"]
    assert names(tmp_path / "home") == ["deep"]


@pytest.mark.parametrize("deep", ["file/below", "file/much/deeper"])
def test_a_parent_that_is_a_file_is_named(tmp_path: Path, deep: str) -> None:
    # given
    (tmp_path / "file").write_text("mine")
    # when / then
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        write_text(tmp_path / deep)
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        check_folder_target(tmp_path / deep, MARKER)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_without_permission_is_named() -> None:
    # given
    path = Path("/proc/sb3-integral/file")  # where not even root may write
    # when / then
    with pytest.raises(OSError, match="cannot write /proc/sb3-integral/file: "):
        write_text(path)
    with pytest.raises(OSError, match="cannot write /proc/sb3-integral/file: "):
        write_stage(path, "new")


def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    # when
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a" / "b" / "file"):
        raise RuntimeError
    # then
    assert names(tmp_path) == []


def test_a_name_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    # given
    path = tmp_path / ("n" * 251 + ".txt")
    # when
    write_text(path)
    # then
    assert names(tmp_path) == [path.name]


def test_a_block_that_writes_a_folder_where_a_file_belongs_leaves_nothing(tmp_path: Path) -> None:
    # when
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "file") as partial:
        make_folder(partial)
    # then
    assert names(tmp_path) == []


def test_a_folder_that_came_meanwhile_stays(tmp_path: Path) -> None:
    # given
    path = tmp_path / "file"

    def write() -> None:
        with atomic_file(path) as partial:
            partial.write_text("new")
            make_folder(path)

    # when / then
    with pytest.raises(IsADirectoryError):
        write()
    assert (path / "deep" / "mine.txt").read_text() == "years of work"
    assert names(tmp_path) == ["file"]


# Folders


def write_stage(path: Path, text: str) -> None:
    with atomic_folder(path, MARKER) as partial:
        (partial / text).write_text(text)
        (partial / MARKER).write_text("{}")


@pytest.mark.parametrize("through_link", [False, True])
def test_a_marked_folder_is_replaced_as_a_whole(tmp_path: Path, through_link: bool) -> None:
    # given
    path = tmp_path / "stage"
    if through_link:
        (tmp_path / "disk").mkdir()
        path.symlink_to("disk/real")
    # when
    write_stage(path, "old")
    write_stage(path, "new")
    # then
    assert names(path) == ["new", MARKER]
    assert path.is_symlink() is through_link
    assert names(tmp_path) == (["disk", "stage"] if through_link else ["stage"])
    assert not through_link or names(tmp_path / "disk") == ["real"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    # given
    (tmp_path / "stage").mkdir(mode=0o700)
    # when
    write_stage(tmp_path / "stage", "new")
    # then
    assert names(tmp_path / "stage") == ["new", MARKER]
    assert mode(tmp_path / "stage") == 0o700


@pytest.mark.parametrize("make", [make_folder, make_link_to_folder, make_fifo, make_device, Path.touch])
def test_what_is_not_marked_is_never_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    # given
    path = tmp_path / "target"
    make(path)
    before = [found.lstat().st_ino for found in sorted(tmp_path.rglob("*"))]
    # when / then
    with pytest.raises(OSError, match="target"):
        check_folder_target(path, MARKER)
    with pytest.raises(OSError, match="target"):
        write_stage(path, "new")
    assert [found.lstat().st_ino for found in sorted(tmp_path.rglob("*"))] == before


def test_without_a_marker_nothing_is_replaced(tmp_path: Path) -> None:
    # given
    write_stage(tmp_path / "stage", "old")
    # when / then
    with pytest.raises(FileExistsError, match="stage is not empty"):
        check_folder_target(tmp_path / "stage", marker=None)
    assert names(tmp_path / "stage") == ["old", MARKER]


def test_an_exception_keeps_the_old_folder(tmp_path: Path) -> None:
    # given
    path = tmp_path / "stage"
    write_stage(path, "old")

    def write() -> None:
        with atomic_folder(path, MARKER) as partial:
            (partial / "half.txt").write_text("half")
            raise KeyboardInterrupt

    # when / then
    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(path) == ["old", MARKER]
    assert names(tmp_path) == ["stage"]


def test_a_block_that_fills_nothing_fails_and_keeps_what_was_there(tmp_path: Path) -> None:
    # given
    write_stage(tmp_path / "stage", "old")
    # when / then
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "stage", MARKER):
        pass
    assert names(tmp_path / "stage") == ["old", MARKER]


def test_a_file_block_that_writes_nothing_fails_and_keeps_what_was_there(tmp_path: Path) -> None:
    # given
    (tmp_path / "result").write_text("old")
    # when / then
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "result"):
        pass
    assert (tmp_path / "result").read_text() == "old"
    assert names(tmp_path) == ["result"]


def add_file(folder: Path) -> None:
    (folder / "mine").write_text("notes")


def add_file_deeper(folder: Path) -> None:
    (folder / "deep").mkdir()
    add_file(folder / "deep")


def add_link(folder: Path) -> None:
    (folder / "mine").symlink_to("/")


def add_fifo(folder: Path) -> None:
    os.mkfifo(folder / "mine")


def change_file(folder: Path) -> None:
    (folder / "old").write_text("notes")


def exchange_file_for_link(folder: Path) -> None:
    (folder / "old").rename(folder.parent / "moved")
    (folder / "old").symlink_to("../moved")


def exchange_file_for_fifo(folder: Path) -> None:
    (folder / "old").unlink()
    os.mkfifo(folder / "old")


def forget_the_list(folder: Path) -> None:
    (folder / MARKER).write_text("{}")


def damage_the_list(folder: Path) -> None:
    (folder / MARKER).write_text('{"sha256": 3}')


CHANGES = (
    *(add_file, add_file_deeper, add_link, add_fifo, change_file),
    *(exchange_file_for_link, exchange_file_for_fifo, forget_the_list, damage_the_list),
)


@pytest.mark.parametrize("during", [False, True], ids=["before", "during the block"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_is_kept_that_holds_what_was_not_written_with_it(
    tmp_path: Path, change: Callable[[Path], None], during: bool
) -> None:
    # given
    path = tmp_path / "stage"
    write_stage(path, "old")
    begun = []
    if not during:
        change(path)

    def replace() -> None:
        with atomic_folder(path, MARKER) as partial:
            begun.append(partial)
            add_file(partial)
            if during:
                change(path)

    # when / then
    with pytest.raises(
        FileExistsError, match=r"stage (holds .*'(deep/)?(mine|old)'|cannot be replaced)"
    ):
        replace()
    assert bool(begun) is during
    before = {found: found.lstat() for found in tmp_path.rglob("*")}
    with pytest.raises(FileExistsError) as raised:
        check_folder_target(path, MARKER)
    assert "\n" not in str(raised.value)
    assert {found: found.lstat() for found in tmp_path.rglob("*")} == before
    assert {"old", MARKER} <= set(names(path))


def test_a_folder_is_replaced_though_files_of_it_are_gone_and_folders_are_empty(tmp_path: Path) -> None:
    # given
    path = tmp_path / "stage"
    write_stage(path, "old")
    (path / "old").unlink()
    (path / "empty").mkdir()
    (path / f".partial-01234567-{MARKER}").write_text("half")  # of a killed process
    # when
    write_stage(path, "new")
    # then
    assert names(path) == ["new", MARKER]


def test_the_marker_keeps_what_the_block_wrote_and_lists_the_files(tmp_path: Path) -> None:
    # when
    with atomic_folder(tmp_path / "stage", MARKER) as partial:
        (partial / "deep").mkdir()
        (partial / "deep" / "text").write_text("text")
        (partial / MARKER).write_text('{"key": "abc"}')
    # then
    digest = hashlib.sha256(b"text").hexdigest()
    content = json.loads((tmp_path / "stage" / MARKER).read_text())
    assert content == {"key": "abc", "sha256": {"deep/text": digest}}
    assert listed_files(tmp_path / "stage", MARKER) == content["sha256"]


def test_a_replaced_folder_of_a_killed_process_is_kept_if_somebody_put_a_file_into_it(
    tmp_path: Path,
) -> None:
    # given
    write_stage(tmp_path / "stage", "old")
    replaced = (tmp_path / "stage").rename(tmp_path / ".replaced-01234567-stage")
    add_file(replaced)
    shutil.copytree(replaced, tmp_path / "stage")
    (tmp_path / "stage" / "mine").unlink()
    # when
    write_stage(tmp_path / "stage", "newer")
    remove_leftovers(tmp_path, MARKER)
    # then
    assert names(replaced) == ["mine", "old", MARKER]
    assert names(tmp_path / "stage") == ["newer", MARKER]


@pytest.mark.parametrize("filled", [False, True])
def test_a_replaced_folder_survives_a_folder_of_somebody_else_in_its_place(
    tmp_path: Path, filled: bool
) -> None:
    # given an old folder that a killed process had moved away
    replaced = tmp_path / ".replaced-01234567-stage"
    write_stage(replaced, "old")
    (tmp_path / "stage").mkdir()
    if filled:
        (tmp_path / "stage" / "mine").write_text("notes")
    # when
    with pytest.raises((RuntimeError, FileExistsError)), atomic_folder(tmp_path / "stage", MARKER):
        raise RuntimeError
    remove_leftovers(tmp_path, MARKER)
    # then
    assert names(tmp_path / "stage") == (["mine"] if filled else ["old", MARKER])
    assert names(tmp_path) == ([replaced.name, "stage"] if filled else ["stage"])


def test_a_folder_that_another_process_writes_at_the_same_moment_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given another writer who comes when the old folder is away from its name
    path = tmp_path / "stage"
    write_stage(path, "old")
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self.name.startswith(".partial-"):
            monkeypatch.setattr(Path, "rename", rename)
            shutil.copytree(next(tmp_path.glob(".replaced-*")), path)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    # when / then
    with pytest.raises(FileExistsError, match=r"stage is being written by another process too$"):
        write_stage(path, "new")
    assert names(path) == ["old", MARKER]
    assert names(tmp_path) == ["stage"]


KILLED_AT_A_RENAME = """
import os, pathlib, signal, sys, types
package = sys.modules["sb3_integral"] = types.ModuleType("sb3_integral")
package.__path__ = [sys.argv[3]]  # without the rest: it starts in no time
from sb3_integral.atomic import atomic_folder
renames, rename = [], pathlib.Path.rename
def dying(self, target):
    renames.append(self)
    if len(renames) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.rename = dying
with atomic_folder(sys.argv[1], "stage.json") as partial:
    (partial / "new").write_text("new")
    (partial / "stage.json").write_text("{}")
"""


@pytest.mark.parametrize("killed_at", [1, 2])
@pytest.mark.parametrize("cure", ["leftovers", "write"])
def test_nothing_is_lost_when_killed_between_two_renames(
    tmp_path: Path, killed_at: int, cure: str
) -> None:
    # given
    path = tmp_path / "stage"
    write_stage(path, "old")
    package = Path(atomic.__file__).parent
    process = [sys.executable, "-c", KILLED_AT_A_RENAME, path, str(killed_at), package]
    assert subprocess.run(process, check=False).returncode == -signal.SIGKILL
    # when
    if cure == "leftovers":
        remove_leftovers(tmp_path, MARKER)
        # then
        assert names(path) == ["old", MARKER]
        assert names(tmp_path) == ["stage"]
    else:
        with pytest.raises(RuntimeError), atomic_folder(path, MARKER):
            raise RuntimeError
        # then
        assert names(path) == ["old", MARKER]


def test_only_what_was_begun_here_is_a_leftover(tmp_path: Path) -> None:
    # given
    mine = [".partial-notes", ".partial-1-a", ".replaced-mine", "a.partial-01234567-b"]
    for name in [*mine, ".partial-01234567-half"]:
        make_folder(tmp_path / "deep" / name)
    (tmp_path / ".partial-89abcdef-half.txt").write_text("half")
    (tmp_path / ".partial-89abcdef-link").symlink_to("deep")
    # when
    remove_leftovers(tmp_path, MARKER)
    # then
    assert names(tmp_path / "deep") == sorted(mine)
    assert names(tmp_path) == [".partial-89abcdef-link", "deep"]


KILLED_WHILE_WRITING = """
import sys, types
package = sys.modules["sb3_integral"] = types.ModuleType("sb3_integral")
package.__path__ = [sys.argv[2]]
from sb3_integral.atomic import atomic_file, atomic_folder
into = sys.argv[1] + "/"
with atomic_file(into + "a.txt") as file, atomic_folder(into + "b", "stage.json") as folder:
    file.write_text("half")
    (folder / "half").write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
"""


def write_both(folder: Path) -> None:
    write_text(folder / "a.txt")
    write_stage(folder / "b", "new")


def test_the_next_write_removes_what_a_killed_process_had_begun_for_its_own_target(
    tmp_path: Path,
) -> None:
    # given a process that writes a file and a folder
    own = [tmp_path / name for name in (".partial-mine-a.txt", ".partial-01234567-other.txt")]
    for path in own:
        path.write_text("mine")
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, tmp_path, Path(atomic.__file__).parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        # when others write while it lives, and after it was killed
        write_both(tmp_path)
        alive = names(tmp_path)
        process.kill()
    write_both(tmp_path)
    # then what it had begun went with its end, and nothing else
    assert len(alive) == 6
    assert names(tmp_path) == sorted(["a.txt", "b", *(path.name for path in own)])


# What is built and kept


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[str], str]:
    """Keep the results of a small run, and return what was said of it."""
    for stage in ("report", "figures", "video"):
        with atomic_folder(tmp_path / "run" / stage, MARKER) as partial:
            for name in ("provenance.json", "table.csv") if stage == "report" else (f"{stage}.png",):
                (partial / name).write_text("{}")
            (partial / "notes.txt").write_text("not kept")

    def kept(target: str) -> str:
        script = Path(__file__).parents[1] / "scripts" / "keep_results.py"
        command = [sys.executable, script, tmp_path / "run", tmp_path / target]
        return subprocess.run(command, check=False, capture_output=True, text=True).stderr

    return kept


def test_kept_results_are_replaced_as_a_whole(tmp_path: Path, keep: Callable[[str], str]) -> None:
    # given results of a run that had one more table
    with atomic_folder(tmp_path / "run" / "report", MARKER) as partial:
        for name in ("provenance.json", "table.csv", "more.csv"):
            (partial / name).write_text("{}")
    assert keep("kept") == ""
    assert "more.csv" in names(tmp_path / "kept")
    with atomic_folder(tmp_path / "run" / "report", MARKER) as partial:
        for name in ("provenance.json", "table.csv"):
            (partial / name).write_text("{}")
    # when
    assert keep("kept") == ""
    # then
    assert names(tmp_path / "kept") == ["figures.png", "provenance.json", "table.csv"]


def test_the_kept_results_of_the_project_are_as_they_were_kept() -> None:
    results = Path(__file__).parents[1] / "results"
    kept = [path.parent for path in results.rglob("provenance.json")]
    assert kept
    assert [unlisted_files(folder, "provenance.json") for folder in kept] == [[] for _ in kept]


def test_kept_results_leave_what_is_not_theirs_alone(tmp_path: Path, keep: Callable[[str], str]) -> None:
    # given a folder with a file that only has the name of a marker, and one with a link in it
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "provenance.json").write_text("mine")
    keep("linked")
    (tmp_path / "linked" / "table.csv").unlink()
    (tmp_path / "linked" / "table.csv").symlink_to("/somewhere")
    # when
    said = [keep("mine"), keep("linked"), keep("run")]
    # then each is left as it is, with one line that says why
    assert "provenance.json is damaged or of an older version" in said[0]
    assert "changed since: 'table.csv'" in said[1]
    assert "run is not empty and has no provenance.json" in said[2]
    assert all(line.count("\n") == 1 for line in said)
    assert (tmp_path / "mine" / "provenance.json").read_text() == "mine"
    assert (tmp_path / "linked" / "table.csv").is_symlink()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_puts_no_environment_into_a_folder_of_somebody_else(tmp_path: Path) -> None:
    # given
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(Path(__file__).parents[1] / name, tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("years")
    # when
    make = ["make", "-C", str(tmp_path), "VENV=own", f"PYTHON={sys.executable}"]
    made = subprocess.run([*make, "own/.ready"], check=False, capture_output=True, text=True)
    subprocess.run([*make, "clean"], check=True, capture_output=True)
    # then
    assert made.returncode != 0
    assert "expected a new folder" in made.stderr
    assert names(tmp_path / "own") == ["thesis.txt"]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_clean_removes_only_what_make_made(tmp_path: Path) -> None:
    # given
    shutil.copy(Path(__file__).parents[1] / "Makefile", tmp_path)
    for folder in ("own", "made", "build"):
        make_folder(tmp_path / folder)
    (tmp_path / "made" / ".made-by-make").touch()
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "sb3_integral-0.1-py3-none-any.whl").touch()
    (tmp_path / "dist" / "mine.whl").touch()
    # when
    for environment in ("own", "made"):
        subprocess.run(
            ["make", "-C", str(tmp_path), "clean", f"VENV={environment}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    # then
    assert names(tmp_path) == ["Makefile", "build", "dist", "own"]
    assert names(tmp_path / "dist") == ["mine.whl"]
