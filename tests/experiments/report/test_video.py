from __future__ import annotations

import os
import subprocess
import sys

import imageio_ffmpeg
import pytest
from PIL import Image

from sb3_integral.experiments.report.video import (
    CAPTION,
    GIF,
    GIF_BYTES,
    HEIGHT,
    MP4,
    NOTE,
    SECONDS,
    CannotRenderError,
    find_backend,
    record_agents,
    record_anywhere,
)
from sb3_integral.imitation import StudentArchitecture

INTEGRAL = StudentArchitecture("integral", hidden_sizes=(8, 8))
PLAIN = StudentArchitecture("plain", hidden_sizes=(8, 8))


@pytest.fixture
def no_opengl(monkeypatch):
    """MuJoCo may use nothing but a desktop, and there is none."""
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_agents_play_side_by_side_without_a_screen(save_students, ignore_progress, no_opengl, tmp_path):
    # given three agents, in an environment that needs no OpenGL
    integral, plain = save_students("CartPole-v1", INTEGRAL, PLAIN)
    agents = [
        {"label": "INN, N = 8", "method": None, "size": 8},
        {"label": "INN, N = 3", "method": None, "size": 3},
        {"label": "NN, N = 3", "method": "bicubic", "size": 3},
    ]
    # when
    record_agents(
        tmp_path,
        ignore_progress,
        [integral, integral, plain],
        env_id="CartPole-v1",
        agents=agents,
        seed=0,
    )
    # then
    assert sorted(path.name for path in tmp_path.iterdir()) == [GIF, MP4]
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(tmp_path / MP4)
    assert frames > 3
    assert 0 < seconds <= SECONDS + 1
    with Image.open(tmp_path / GIF) as gif:
        assert gif.n_frames > 1
        assert gif.width / gif.height == pytest.approx(
            3 * (600 * HEIGHT / 400) / (HEIGHT + CAPTION), rel=0.02
        )
    assert 0 < (tmp_path / GIF).stat().st_size <= GIF_BYTES


@pytest.mark.slow
def test_where_opengl_is_missing_a_note_says_what_to_install(
    save_students, ignore_progress, no_opengl, tmp_path
):
    # given
    folders = save_students("HalfCheetah-v5", INTEGRAL)
    agents = [{"label": "INN", "method": None, "size": 8}]
    # when
    record_agents(tmp_path, ignore_progress, folders, env_id="HalfCheetah-v5", agents=agents, seed=0)
    # then
    assert [path.name for path in tmp_path.iterdir()] == [NOTE]
    note = (tmp_path / NOTE).read_text()
    for said in ("HalfCheetah-v5 cannot be drawn", "libegl1", "libosmesa6", "delete the folder `video`"):
        assert said in note


def test_a_way_to_opengl_that_is_chosen_is_the_only_one_tried(no_opengl):
    assert find_backend() is None


@pytest.mark.slow
def test_what_is_not_the_machines_fault_is_an_error(tmp_path):
    # given a student that is not there
    student = str(tmp_path / "nowhere.safetensors")
    agent = {"label": "INN", "student": student, "method": None, "size": 8}
    # when, then
    with pytest.raises(RuntimeError, match=r"could not be recorded: ValueError: .*nowhere") as raised:
        record_anywhere(
            *(tmp_path / "a.mp4", tmp_path / "a.gif"),
            env_id="CartPole-v1",
            seed=0,
            seconds=1.0,
            agents=[agent],
        )
    assert not isinstance(raised.value, CannotRenderError)
    assert list(tmp_path.iterdir()) == []


FAR_AWAY = """
import sys
import numpy as np
from sb3_integral.experiments.report.video import _make_environment

environment = _make_environment(sys.argv[1])
simulation = environment.unwrapped
position = simulation.data.qpos.copy()
position[0] += 100.0
pictures = []
for last_joint in (0.0, 0.6):
    position[-1] = last_joint
    simulation.set_state(position, 0 * simulation.data.qvel)
    pictures.append(environment.render().astype(int))
print((np.abs(pictures[0] - pictures[1]).max(axis=2) > 30).sum())
"""


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["HalfCheetah-v4", "Ant-v4", "Hopper-v5", "Swimmer-v5"])
def test_the_camera_follows_an_agent_that_gets_far(env_id):
    # given
    backend = find_backend()
    if backend is None:
        pytest.skip("no OpenGL: on Debian, apt-get install libegl1 libgl1-mesa-dri")
    # when an agent far from its start moves one joint
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FAR_AWAY, env_id],
        env={**os.environ, "MUJOCO_GL": backend, "LP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    # then that is seen
    assert int(done.stdout.split()[-1]) > 20
