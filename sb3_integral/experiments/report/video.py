"""The stage that shows agents of several sizes side by side, where the machine can render."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.files import STUDENT
from sb3_integral.experiments.report.recording import CANNOT_RENDER, CannotRenderError

MP4 = "agents.mp4"
GIF = "agents.gif"
NOTE = "no_video.txt"
"""Why there is no video, and what to do."""

SECONDS = 8.0
BACKENDS = ("egl", "osmesa", "glfw")
"""MuJoCo's ways to OpenGL: with a graphics driver, in software, and on a desktop."""

PROBE = """
import mujoco
context = mujoco.GLContext(64, 64)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
"""
"""Fails where there is no OpenGL; to make a context current does not, where there is no screen."""

REMEDY = (
    "MuJoCo's environments need OpenGL, which works without a screen: on Debian and Ubuntu "
    "`apt-get install libegl1 libgl1-mesa-dri` or `apt-get install libosmesa6`. Box2D and classic "
    'control need `pip install "sb3-integral[envs]"`. Then delete the folder `video` of the '
    "experiment and run it again."
)


def record_agents(
    folder: Path, report: Report, student_folders: Sequence[Path], *, agents: list[Any], **episode: Any
) -> None:
    """Write a video and a GIF, or a note if this machine cannot render.

    The agents are those of :func:`~sb3_integral.experiments.report.recording.record` without their
    files, which are in the students' folders, and ``episode`` holds its other arguments.
    """
    students = [{"student": str(student / STUDENT)} for student in student_folders]
    recorded = [agent | student for agent, student in zip(agents, students, strict=True)]
    try:
        record_anywhere(folder / MP4, folder / GIF, agents=recorded, seconds=SECONDS, **episode)
    except CannotRenderError as error:
        (folder / NOTE).write_text(f"{error}\n", encoding="utf-8")


def record_anywhere(mp4: Path, gif: Path, *, env_id: str, **recording: Any) -> None:
    """Record without a screen, by the first way to OpenGL that works.

    The arguments are those of :func:`~sb3_integral.experiments.report.recording.record`.

    Raises:
        CannotRenderError: If the environment cannot be drawn; with what to install.
        RuntimeError: If something else went wrong.
    """
    backend = find_backend()
    variables = {"SDL_VIDEODRIVER": "dummy", "LP_NUM_THREADS": "1"}
    # A process of its own: MuJoCo decides when it is imported, and drivers may crash.
    done = _python(
        *("-m", "sb3_integral.experiments.report.recording", str(mp4), str(gif)),
        text=json.dumps({"env_id": env_id, **recording}),
        variables=variables | ({"MUJOCO_GL": backend} if backend else {}),
    )
    if done.returncode == 0:
        return
    cause = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode != CANNOT_RENDER and done.returncode > 0:
        raise RuntimeError(f"{env_id} could not be recorded: {cause}")
    opengl = "" if backend else f"; no OpenGL by {', '.join(BACKENDS)}"
    raise CannotRenderError(f"{env_id} cannot be drawn on this machine ({cause}{opengl}). {REMEDY}")


def find_backend() -> str | None:
    """Return the first of :data:`BACKENDS` that gives MuJoCo a context; None if there is none.

    A ``MUJOCO_GL`` that is set already is the only one that is tried.
    """
    chosen = os.environ.get("MUJOCO_GL")
    for backend in (chosen,) if chosen else BACKENDS:
        if _python("-c", PROBE, text="", variables={"MUJOCO_GL": backend}).returncode == 0:
            return backend
    return None


def _python(*arguments: str, text: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        input=text,
        capture_output=True,
        text=True,
        # The packages of environments may be where only this process looks for modules.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables},
        encoding="utf-8",
    )
