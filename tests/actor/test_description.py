"""Every format says the same of itself, whatever characters people use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO, TD3

from sb3_integral._version import __version__
from sb3_integral.actor import Notes, actor_spec
from sb3_integral.actor.description import KEY, describe
from sb3_integral.actor.numpy_actor import NumpyActor
from sb3_integral.deploy import export_c, export_onnx, export_torch, quantize_onnx
from sb3_integral.escaping import c_comment

VECTOR = spaces.Box(-1.0, 1.0, (4,))
WILD = ["*/ int a; /*", "??/\n", "\\", '"', "é\x00\u2028", "%s{0}", "*" * 66 + "/*/"]


def in_onnx(path: Path) -> dict[str, Any]:
    (found,) = (own.value for own in onnx.load(path).metadata_props if own.key == KEY)
    return json.loads(found)  # type: ignore[no-any-return]


def test_onnx_and_torch_say_what_they_are(make_model: Any, make_normalize: Any, tmp_path: Path) -> None:
    # given
    space = spaces.Box(np.float32([-1.0, -np.inf]), np.float32([1.0, np.inf]))
    model = make_model(TD3, observation_space=space)
    normalize = make_normalize(space, clip_obs=5.0)
    notes = Notes("My-v0", ("angle", "speed"), ("x", "y", "z"), {"robot": "arm"})
    # when
    path = export_onnx(model, tmp_path / "a.onnx", 6, normalize, notes)
    extra = {KEY: ""}
    export_torch(model, tmp_path / "a.pt2", 6, normalize, notes)
    program = torch.export.load(tmp_path / "a.pt2", extra_files=extra).module()
    # then
    said = in_onnx(path)
    assert json.loads(extra[KEY]) == said
    assert said["library"] == f"sb3-integral {__version__}"
    assert said["sizes"] == [2, 6, 6, 3]
    assert said["environment"] == "My-v0"
    assert said["observations"][1] == {
        "place": "observation[1]",
        "name": "speed",
        "low": "-inf",
        "high": "inf",
    }
    assert [own["name"] for own in said["actions"]] == ["x", "y", "z"]
    assert said["folded"] == [
        "observations are normalised by their mean and standard deviation, clipped to 5",
        "actions are brought from [-1, 1] to their bounds",
    ]
    assert said["meta"] == {"robot": "arm"}
    got = program(torch.tensor([said["example_observation"]], dtype=torch.float32))[0]
    np.testing.assert_allclose(got.numpy(), said["example_action"], rtol=1e-5)
    raw = np.float32(said["example_observation"])
    wanted = model.policy.resize(6).predict(normalize.normalize_obs(raw), deterministic=True)[0]
    np.testing.assert_allclose(said["example_action"], wanted, atol=1e-4)


def test_the_int8_form_has_its_own_action(make_model: Any, tmp_path: Path) -> None:
    exact = export_onnx(make_model(PPO), tmp_path / "a.onnx", notes=Notes("My-v0"))
    with pytest.warns(match="the int8 form has"):
        small = quantize_onnx(exact, tmp_path / "b.onnx")
    said, said_exact = in_onnx(small), in_onnx(exact)
    assert said["weights"] == "int8"
    off = np.abs(np.subtract(said.pop("example_action"), said_exact.pop("example_action"))).max()
    assert 0.0 < off < 0.1
    assert said == {**said_exact, "weights": "int8"}


def test_a_dictionary_of_images_is_described_part_by_part(make_model: Any) -> None:
    parts = {"image": spaces.Box(0, 255, (3, 36, 36), np.uint8), "x": VECTOR, "k": spaces.Discrete(3)}
    model = make_model(
        PPO,
        "IntegralMultiInputPolicy",
        spaces.Dict(parts),
        features_extractor_kwargs={"cnn_output_dim": 8},
    )
    found = describe(actor_spec(model), None, lambda seen: np.zeros(3))
    assert [str(own) for own in found.observations] == [
        "observation image[0..3887]: 0 to 255",
        "observation k[0]: 0 to 2",
        "observation x[0..3]: -1 to 1",
    ]
    assert "images are divided by 255" in found.folded
    assert set(json.loads(found.to_json())["example_observation"]) == set(parts)


@pytest.mark.parametrize("count", [1, 5])
def test_as_many_names_as_numbers(count: int, student: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"expected 4 observation names, got {count}"):
        export_c(student, tmp_path / "a.h", notes=Notes(observation_names=["n"] * count))
    assert not list(tmp_path.iterdir())


def test_the_digest_is_of_every_weight_and_statistic(student: Any, make_normalize: Any) -> None:
    def digest(normalize: Any = None) -> str:
        spec = actor_spec(plain, None, normalize)
        return describe(spec, None, NumpyActor(spec)).sha256

    plain = student.discretize()
    first, normalize = digest(), make_normalize(VECTOR)
    spec = actor_spec(plain)
    arrays = [*spec.extractor.state_dict().values(), *spec.layers.state_dict().values()]
    content = b"".join(own.numpy().tobytes() for own in arrays)
    assert first == hashlib.sha256(content).hexdigest()
    with_statistics = digest(normalize)
    normalize.obs_rms.mean[0] += 1.0
    changed = digest(normalize)
    with torch.no_grad():
        plain.action_net.bias[0] += 1e-3
    assert len({first, with_statistics, changed, digest()}) == 4


@pytest.mark.parametrize("text", WILD)
def test_text_of_users_stays_where_it_is_put(
    text: str, make_model: Any, observe: Any, act_in_c: Callable[..., Any], tmp_path: Path
) -> None:
    # given the same text in every place that takes one
    model = make_model(PPO)
    notes = Notes(text, [text] * 4, [text] * 3, {text: text})
    # when
    header = export_c(model, tmp_path / "policy.h", notes=notes)
    # then C compiles without a warning, and has as many lines as with any other text
    content = header.read_text(encoding="ascii")
    assert f" * {c_comment(text)}: {c_comment(text)}\n" in content
    assert f' * "environment": {c_comment(text)}\n' in content
    seen = observe(VECTOR)
    wanted = model.predict(seen, deterministic=True)[0]
    np.testing.assert_allclose(act_in_c(header, seen, model.action_space), wanted, atol=1e-4)
    plain = export_c(model, header, notes=Notes("a", ["a"] * 4, ["a"] * 3, {"a": "a"})).read_text()
    assert len(plain.split("\n")) == len(content.split("\n"))
    # and JSON gives the text back
    spec = actor_spec(model)
    said = json.loads(describe(spec, notes, NumpyActor(spec)).to_json())
    assert said["environment"] == text
    assert said["meta"] == {text: text}


@pytest.mark.parametrize("weights", ["float32", "int8", "int4", "q15"])
@pytest.mark.parametrize(
    ("algorithm", "space"),
    [
        (PPO, spaces.Box(-2.0, 0.5, (3,))),
        (TD3, spaces.Box(-1e6, 1e6, (2,))),
        (PPO, spaces.Discrete(5)),
        (MaskablePPO, spaces.MultiDiscrete([2, 4])),
        (PPO, spaces.MultiBinary(3)),
    ],
    ids=str,
)
def test_the_self_test_passes_and_notices_a_changed_weight(
    algorithm: Any, space: Any, weights: Any, make_model: Any, run_c: Any, tmp_path: Path
) -> None:
    header = export_c(make_model(algorithm, action_space=space), tmp_path / "policy.h", weights=weights)
    text = header.read_text(encoding="ascii")
    assert run_c(header, "return policy_selftest();") == 0
    # when the biases of the last layer are large, in either order
    start = text.index("{", text.index("static const float policy_bias_2")) + 1
    end = text.index("}", start)
    count = text[start:end].count(",") + 1
    results = []
    for sign in (1, -1):
        changed = ", ".join(f"{sign * (-1) ** index * 1e9}f" for index in range(count))
        header.write_text(text[:start] + changed + text[end:], encoding="ascii")
        results.append(run_c(header, "return policy_selftest() > 0;"))
    # then
    assert 1 in results


def test_an_action_that_is_not_finite_has_no_self_test(make_policy: Any, tmp_path: Path) -> None:
    policy = make_policy("box").discretize()
    policy.action_space = spaces.Box(-np.inf, np.inf, policy.action_space.shape)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.fill_(3e38)
    with (
        pytest.raises(ValueError, match="for an example, expected finite numbers"),
        np.errstate(all="ignore"),
    ):
        export_c(policy, tmp_path / "a.h")
