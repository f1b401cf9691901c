"""The script that runs a compressed agent's files compares what they do with what the student does."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from imitation.data.types import TrajectoryWithRew, maybe_wrap_in_dictobs

from sb3_integral.deploy import export_onnx, save_policy
from sb3_integral.imitation import StudentArchitecture, save_episodes

SCRIPTS = Path(__file__).parents[3] / "scripts"
VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
DICTIONARY = spaces.Dict({"number": spaces.Discrete(2), "vector": VECTOR})
ACTIONS: tuple[spaces.Space[Any], ...] = (
    spaces.Box(-2.0, 2.0, (2,), np.float32),
    spaces.Discrete(4),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiBinary(3),
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    before = {*sys.modules}
    monkeypatch.syspath_prepend(SCRIPTS)
    module = importlib.import_module("verify_agents")
    if module.board.missing():
        pytest.skip(f"not installed: {', '.join(module.board.missing())}")
    yield module
    for name in {*sys.modules} - before:
        if name in ("verify_agents", "compress_agents", "benchmark_cortex_m4"):
            del sys.modules[name]


def compressed(folder: Path, observed: spaces.Space[Any], actions: spaces.Space[Any]) -> Any:
    """Write what a compression leaves, of a student that nobody taught; return the student."""
    file = folder / "compressed" / "ppo_Task-v0" / "actor.onnx"
    work = file.with_name("actor.onnx-compression")
    work.mkdir(parents=True)
    (work / "result.json").write_text(json.dumps({"sizes": [4, 5]}), encoding="utf-8")
    student: Any = StudentArchitecture("integral", (8, 8)).build(observed, actions, seed=0)
    with torch.no_grad():  # SB3 begins with an action layer that gives next to nothing
        for parameter in student.action_net.parameters():
            parameter.add_(torch.randn_like(parameter))
    save_policy(student, work / "student.safetensors")
    observed.seed(0)
    actions.seed(0)
    seen: Any = [observed.sample() for _ in range(61)]
    if isinstance(observed, spaces.Dict):
        seen = {name: np.stack([one[name] for one in seen]) for name in observed}
    else:
        seen = np.stack(seen)
    done = np.stack([actions.sample() for _ in range(60)])
    episode = TrajectoryWithRew(maybe_wrap_in_dictobs(seen), done, None, True, np.zeros(60))
    save_episodes([episode], work / "labels-0")
    export_onnx(student, file, size=(4, 5))
    return student


@pytest.mark.slow
@pytest.mark.parametrize(
    ("observed", "actions"),
    [*((VECTOR, actions) for actions in ACTIONS), (DICTIONARY, ACTIONS[0])],
    ids=lambda space: type(space).__name__,
)
def test_every_format_acts_as_the_student(
    observed: spaces.Space[Any], actions: spaces.Space[Any], script: ModuleType, tmp_path: Path
) -> None:
    # Given
    compressed(tmp_path, observed, actions)
    student = script.Student(script.Agent("ppo", "Task-v0"), tmp_path)
    # When
    rows = script.format_rows(student)
    # Then
    assert [(row["format"], row["weights"]) for row in rows] == [
        ("sb3", "float32"),
        ("onnx", "float32"),
        *((format, own) for own in ("float32", "int8", "q15") for format in ("c", "cortex-m4")),
    ]
    for row in rows:
        assert row["off_by"] < (1e-3 if row["weights"] == "q15" else 1e-5), row
        if row["format"] == "cortex-m4":
            assert min(row["instructions"], row["flash"], row["ram"]) > 0


@pytest.mark.slow
def test_a_file_of_another_student_is_noticed(script: ModuleType, tmp_path: Path) -> None:
    # Given an ONNX file of another size
    resizable = compressed(tmp_path, VECTOR, ACTIONS[0])
    student = script.Student(script.Agent("ppo", "Task-v0"), tmp_path)
    export_onnx(resizable, student.file, size=(8, 8))
    # When
    seen = student.observations(20)
    wanted = student.policy.predict(seen, deterministic=True)[0]
    # Then
    assert script.off_by(script.in_onnxruntime(student.file, seen), wanted) > 1e-3
