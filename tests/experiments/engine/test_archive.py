from __future__ import annotations

import io
import json
import tarfile

import pytest

from sb3_integral.experiments.engine import archive
from sb3_integral.experiments.engine.archive import packed, unpack


def test_a_folder_survives_being_taken_to_pieces(tmp_path, monkeypatch):
    # given a folder larger than a piece
    monkeypatch.setattr(archive, "PIECE_BYTES", 1000)
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "data").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "a" / "empty").touch()
    (tmp_path / "a" / "stage.json").write_text("{}")

    # when
    pieces = list(packed(tmp_path / "a"))
    unpack(pieces, tmp_path / "elsewhere" / "a")

    # then
    assert len(pieces) > 5
    assert max(map(len, pieces)) == 1000
    files = {
        str(path.relative_to(tmp_path / "elsewhere" / "a")): path.read_bytes()
        for path in (tmp_path / "elsewhere" / "a").rglob("*")
        if path.is_file()
    }
    assert list(json.loads(files.pop("stage.json"))["sha256"]) == ["deep/data", "empty"]
    assert files == {"deep/data": bytes(range(256)) * 20, "empty": b""}


def test_pieces_that_are_cut_or_would_write_elsewhere_leave_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data").write_bytes(b"x" * 5000)
    whole = b"".join(packed(tmp_path / "a"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    for pieces in ([whole[:6144]], [b"no archive"], [buffer.getvalue()]):
        with pytest.raises(tarfile.TarError):
            unpack(pieces, tmp_path / "new" / "a")
        assert list((tmp_path / "new").iterdir()) == []
    assert not (tmp_path / "outside").exists()
