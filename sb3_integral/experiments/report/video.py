"""The stage that shows agents of several sizes side by side, where the machine can render.

The module is also the program of the process that records, because MuJoCo decides how to render when
it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.files import STUDENT
from sb3_integral.policies import as_resizable
from sb3_integral.policies.serialization import load_policy

MP4 = "agents.mp4"
GIF = "agents.gif"
NOTE = "no_video.txt"  # why there is no video, and what to do

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

HEIGHT = 256  # pixels of one agent's picture in the video
CAPTION = 44  # pixels above it for two lines of text
PICTURES_A_SECOND = 20  # at most; some environments make fifty steps a second
GIF_BYTES = 600_000  # the most bytes of the GIF, which is part of a page, and of repositories

GIF_FORMS = (
    (0.7, 10, 64),
    (0.6, 8, 48),
    (0.5, 8, 32),
    (0.5, 6, 32),
    (0.4, 5, 24),
    (0.3, 4, 16),
    (0.25, 2, 8),
)
"""Scale, pictures a second and colours of the GIF; the first that is small enough is kept."""

CANNOT_RENDER = 3  # exit status where it is the machine that fails

Array = np.ndarray[Any, Any]


class CannotRenderError(RuntimeError):
    """This machine cannot draw the environment."""


def record_agents(
    folder: Path, report: Report, student_folders: Sequence[Path], *, agents: list[Any], **episode: Any
) -> None:
    """Write a video and a GIF, or a note if this machine cannot render.

    The agents are those of :func:`record` without their files, which are in the students' folders, and
    ``episode`` holds its other arguments.
    """
    students = [{"student": str(student / STUDENT)} for student in student_folders]
    recorded = [agent | student for agent, student in zip(agents, students, strict=True)]
    try:
        record_anywhere(folder / MP4, folder / GIF, agents=recorded, seconds=SECONDS, **episode)
    except CannotRenderError as error:
        (folder / NOTE).write_text(f"{error}\n", encoding="utf-8")


def record_anywhere(mp4: Path, gif: Path, *, env_id: str, **recording: Any) -> None:
    """Record without a screen, by the first way to OpenGL that works.

    The arguments are those of :func:`record`.

    Raises:
        CannotRenderError: If the environment cannot be drawn; with what to install.
        RuntimeError: If something else went wrong.
    """
    backend = find_backend()
    variables = {"SDL_VIDEODRIVER": "dummy", "LP_NUM_THREADS": "1"}
    # A process of its own: MuJoCo decides when it is imported, and drivers may crash.
    done = _python(
        *("-m", "sb3_integral.experiments.report.video", str(mp4), str(gif)),
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


class Agent(TypedDict):
    """A student's file, resized by a method if it is plain, with a label above its picture."""

    label: str
    student: str
    method: str | None
    size: int


def record(
    mp4: Path,
    gif: Path,
    *,
    env_id: str,
    seed: int,
    seconds: float,
    agents: Sequence[Agent],
    packages: Sequence[str] = (),
) -> None:
    """Let the agents play an episode each, at most some seconds, and write them side by side.

    The seed draws the start, the same for every agent. The packages register the environment.

    Raises:
        CannotRenderError: If the environment cannot be drawn here.
    """
    for package in packages:
        import_module(package)
    environment = _make_environment(env_id)
    steps_a_second = int(environment.metadata.get("render_fps", 30))
    every = -(-steps_a_second // PICTURES_A_SECOND)
    fps = steps_a_second / every
    steps = round(seconds * steps_a_second)
    try:
        episodes = [list(_pictures(environment, agent, seed, steps, every)) for agent in agents]
    finally:
        environment.close()
    length = max(map(len, episodes))
    # One that has ended stands still while the others go on.
    padded = [episode + [episode[-1]] * (length - len(episode)) for episode in episodes]
    frames = [np.concatenate(row, axis=1) for row in zip(*padded, strict=True)]
    options: Any = {"fps": fps, "codec": "libx264", "quality": 6, "macro_block_size": 2}
    imageio.mimwrite(mp4, list[Any](frames), **options)
    gif.write_bytes(_small_gif(frames, fps))


def _make_environment(env_id: str) -> gym.Env[Any, Any]:
    # OpenGL in software takes its time for every pixel; other environments have no say in their size.
    is_mujoco = "mujoco" in str(gym.spec(env_id).entry_point)
    size: dict[str, Any] = {"width": HEIGHT, "height": HEIGHT} if is_mujoco else {}
    # Missing parts show up in many forms, from an ImportError to a driver's own errors.
    try:
        environment = gym.make(env_id, render_mode="rgb_array", **size)
        environment.reset()
        _follow(environment)
        np.asarray(environment.render(), dtype=np.uint8)
    except Exception as error:
        raise CannotRenderError(f"{type(error).__name__}: {error}") from error
    return environment


def _follow(environment: gym.Env[Any, Any]) -> None:
    """Let the camera of a MuJoCo environment follow a body that can leave its place."""
    renderer = getattr(environment.unwrapped, "mujoco_renderer", None)
    if renderer is None:
        return
    import mujoco

    view = dict(renderer.default_cam_config or {})
    moving = {int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_SLIDE)}
    joints = zip(renderer.model.jnt_bodyid, renderer.model.jnt_type, strict=True)
    bodies = [int(body) for body, joint in joints if int(joint) in moving]
    followed = int(view.get("trackbodyid", bodies[0] if bodies else 0))
    if followed > 0:
        renderer.default_cam_config = {
            **view,
            "type": int(mujoco.mjtCamera.mjCAMERA_TRACKING),
            "trackbodyid": followed,
        }
        renderer.camera_id = None  # a number would replace this view


def _pictures(
    environment: gym.Env[Any, Any], agent: Agent, seed: int, steps: int, every: int
) -> Iterator[Array]:
    spaces = environment.observation_space, environment.action_space
    policy = as_resizable(load_policy(Path(agent["student"]), *spaces), agent["method"])
    policy.resize(agent["size"])
    total = 0.0
    observation, _ = environment.reset(seed=seed)
    yield _captioned(environment.render(), agent["label"], total, "")
    for step in range(1, steps + 1):
        action, _ = policy.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = environment.step(action)
        total += float(reward)
        ended = terminated or truncated
        if ended or step % every == 0:
            ending = ", episode over" if ended else ""
            yield _captioned(environment.render(), agent["label"], total, ending)
        if ended:
            return


def _captioned(picture: Any, label: str, total: float, ending: str) -> Array:
    image = Image.fromarray(np.asarray(picture, dtype=np.uint8))
    # Even widths: the video's format halves its colours' resolution.
    width = 2 * round(image.width * HEIGHT / image.height / 2)
    whole = Image.new("RGB", (width, HEIGHT + CAPTION), "white")
    whole.paste(image.resize((width, HEIGHT), Image.Resampling.LANCZOS), (0, CAPTION))
    draw = ImageDraw.Draw(whole)
    font = ImageFont.load_default(size=15)
    draw.text((6, 4), label, fill="black", font=font)
    draw.text((6, 23), f"return {round(total)}{ending}", fill="#444444", font=font)
    return np.asarray(whole)


def _small_gif(frames: Sequence[Array], fps: float) -> bytes:
    for scale, pictures_a_second, colours in GIF_FORMS:
        step = max(1, round(fps / pictures_a_second))
        content = _gif(frames[::step], scale, colours, round(1000 * step / fps))
        if len(content) <= GIF_BYTES:
            break
    return content


def _gif(frames: Sequence[Array], scale: float, colours: int, milliseconds: int) -> bytes:
    size = (round(frames[0].shape[1] * scale), round(frames[0].shape[0] * scale))
    images = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    # One palette for all, without dithering: then what stands still costs nothing.
    palette = images[len(images) // 2].quantize(colours)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    options: Any = {"save_all": True, "append_images": others, "duration": milliseconds}
    buffer = BytesIO()
    first.save(buffer, "GIF", loop=0, optimize=True, **options)
    return buffer.getvalue()


if __name__ == "__main__":
    try:
        record(*map(Path, sys.argv[1:]), **json.load(sys.stdin))
    except CannotRenderError as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT_RENDER)
