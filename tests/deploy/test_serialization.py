from __future__ import annotations

import json
import os
import pickle
import random
import re
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.deploy import load_policy, save_policy
from sb3_integral.nn.kernels import CubicConvolution, LowPass
from sb3_integral.policies.constructor_json import CLASSES, VALUES
from sb3_integral.policies.serialization import _digest
from sb3_integral.policies.space_json import space_to_json

ALGORITHMS = (PPO, A2C, DQN, SAC, TD3, DDPG, TRPO, MaskablePPO, RecurrentPPO, QRDQN, TQC, CrossQ, ARS)
MUTATIONS = 1000


def bits(policy: Any) -> dict[str, bytes]:
    return {name: t.numpy().tobytes() for name, t in policy.state_dict().items()}


@given(data=st.data())
def test_a_policy_comes_back_bit_by_bit(
    data: st.DataObject,
    draw_policy: Callable[..., Any],
    observe: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given
    policy = draw_policy(data)
    path = tmp_path_factory.mktemp("safe") / "policy.safetensors"
    # when
    save_policy(policy, path)
    again: Any = load_policy(path, policy.observation_space, policy.action_space)
    # then it is the same at its current size, and at another one
    assert type(again) is type(policy)
    assert (again.sizes, again.max_sizes) == (policy.sizes, policy.max_sizes)
    assert bits(again) == bits(policy)
    seen = observe(policy.observation_space)
    for size in (policy.sizes, 7):
        wanted = policy.resize(size).predict(seen, deterministic=True)[0]
        got = again.resize(size).predict(seen, deterministic=True)[0]
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("plain", [False, True], ids=["integral", "plain"])
def test_a_policy_of_any_algorithm_comes_back(
    algorithm: type[BaseAlgorithm],
    plain: bool,
    make_model: Callable[..., Any],
    observe: Callable[..., Any],
    tmp_path: Path,
) -> None:
    # given
    policy = make_model(algorithm).policy.resize(5)
    if plain:
        policy = policy.discretize()
    # when
    save_policy(policy, tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors")
    # then
    assert type(again) is type(policy)
    assert bits(again) == bits(policy)
    seen = observe(policy.observation_space)
    np.testing.assert_array_equal(
        again.predict(seen, deterministic=True)[0], policy.predict(seen, deterministic=True)[0]
    )


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_images_and_dictionaries_come_back(
    algorithm: type[BaseAlgorithm], make_model: Callable[..., Any], tmp_path: Path
) -> None:
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    seen = {
        "IntegralCnnPolicy": (image, {"features_extractor_kwargs": {"features_dim": 16}}),
        "IntegralMultiInputPolicy": (
            spaces.Dict({"vector": spaces.Box(-1.0, 1.0, (3,)), "image": image}),
            {"features_extractor_kwargs": {"cnn_output_dim": 8}},
        ),
    }
    for kind, (space, kwargs) in seen.items():
        policy = make_model(algorithm, kind, space, **kwargs).policy
        save_policy(policy, tmp_path / "policy.safetensors")
        again = load_policy(tmp_path / "policy.safetensors")
        assert type(again) is type(policy)
        assert bits(again) == bits(policy)


def test_kernels_and_points_of_ones_own_come_back(
    make_policy: Callable[..., Any], tmp_path: Path
) -> None:
    # given
    policy = make_policy("box", kernel=LowPass(CubicConvolution(a=-0.5)))
    policy.actor_axes[0].place([0.0, 0.2, 0.9])
    # when
    save_policy(policy, tmp_path / "p.safetensors")
    again: Any = load_policy(tmp_path / "p.safetensors")
    # then
    assert again.kernel == policy.kernel
    assert bits(again) == bits(policy)
    np.testing.assert_array_equal(again.actor_axes[0].points, policy.actor_axes[0].points)


def test_the_random_generator_is_left_alone(make_policy: Callable[..., Any], tmp_path: Path) -> None:
    save_policy(make_policy(), tmp_path / "p")
    before = torch.get_rng_state()
    load_policy(tmp_path / "p")
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_unpickled(
    make_policy: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    save_policy(make_policy(), tmp_path / "p")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("unpickled")

    for owner in (pickle, torch):
        for name in ("load", "loads", "Unpickler"):
            monkeypatch.setattr(owner, name, refuse, raising=False)
    # when / then
    load_policy(tmp_path / "p")


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_under_another_name_is_refused_unread(
    make_model: Callable[..., Any], tmp_path: Path
) -> None:
    # given pickles that run a command, a torch file and SB3's zip among them
    path, mark = tmp_path / "policy.safetensors", tmp_path / "was-run"
    hostile = pickle.dumps(Hostile(mark))
    pickle.loads(hostile)
    assert mark.exists(), "the pickle is not hostile"
    mark.unlink()
    torch.save(Hostile(mark), tmp_path / "torch")
    make_model(PPO).save(tmp_path / "model.zip")
    files = [hostile, (tmp_path / "torch").read_bytes(), (tmp_path / "model.zip").read_bytes()]
    files.append(len(hostile).to_bytes(8, "little") + hostile)
    for content in files:
        path.write_bytes(content)
        # when / then
        with pytest.raises(ValueError, match="is not a whole safe file"):
            load_policy(path)
        assert not mark.exists()


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], None]


@pytest.fixture(scope="session")
def rewrite() -> Callable[..., None]:
    """Change the content of a file, and give it the digest that goes with that."""

    def write(path: Path, change: Change, **header: str) -> None:
        with safe_open(path, framework="pt") as file:
            old = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        content = json.loads(old["policy"])
        change(content, tensors)
        new = {**old, "policy": json.dumps(content), **header}
        new["sha256"] = _digest(new, tensors)
        save_file(tensors, path, metadata=new)

    return write


@pytest.fixture
def forge(
    make_policy: Callable[..., Any], rewrite: Callable[..., None], tmp_path: Path
) -> Callable[..., Path]:
    """Write a file with another content, and the digest that goes with it."""

    def write(change: Change = lambda content, tensors: None, **header: str) -> Path:
        path = tmp_path / "forged.safetensors"
        save_policy(make_policy("box"), path)
        rewrite(path, change, **header)
        return path

    return write


@pytest.fixture(scope="module")
def header_files(
    make_policy: Callable[..., Any],
    make_model: Callable[..., Any],
    student: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Small files of several kinds, one of whose descriptions has a value of every kind."""
    kernel = LowPass(CubicConvolution(a=-0.5))
    policies = [
        make_policy("box", net_arch={"pi": [6, 5], "vf": [3]}, kernel=kernel),
        student,
        *(make_model(algorithm).policy for algorithm in (SAC, CrossQ, QRDQN, RecurrentPPO, ARS)),
        make_model(TD3, "MlpPolicy").policy,
    ]
    paths = [tmp_path_factory.mktemp("header") / "policy" for _ in policies]
    for policy, path in zip(policies, paths, strict=True):
        save_policy(policy, path)
    return paths


def test_a_forged_file_that_is_right_loads(forge: Callable[..., Path]) -> None:
    assert isinstance(load_policy(forge()), IntegralActorCriticPolicy)


def put(name: str, value: Any) -> Callable[..., None]:
    return lambda content, tensors: content.update({name: value})


def argue(name: str, value: Any) -> Callable[..., None]:
    return lambda content, tensors: content["arguments"].update({name: value})


def replace(name: str, value: torch.Tensor) -> Callable[..., None]:
    return lambda content, tensors: tensors.update({name: value})


def nested_kernel(depth: int) -> dict[str, Any]:
    kernel: dict[str, Any] = {"$value": "CubicConvolution", "a": -0.5}
    for _ in range(depth):
        kernel = {"$value": "LowPass", "kernel": kernel}
    return kernel


BOX = {"type": "Box", "shape": [2], "dtype": "float32", "low": 0.0, "high": 1.0}
WEIGHT = "mlp_extractor.policy_net.0.weight"
WRONG = {
    "class": (put("class", "os.system"), "unknown policy 'os.system'"),
    "class of another kind": (put("class", ["PPO"]), "holds no policy"),
    "activation": (argue("activation_fn", {"$class": "os.system"}), "unknown class 'os.system'"),
    "activation called": (argue("activation_fn", {"$value": "system", "command": "x"}), "unknown class"),
    "extractor": (argue("features_extractor_class", {"$class": "builtins.eval"}), "unknown class"),
    "activation as text": (argue("activation_fn", "torch.nn.ReLU"), "holds no policy"),
    "optimizer": (argue("optimizer_class", {"$class": "ReLU"}), "holds no policy"),
    "argument": (argue("lr_schedule_", 1), "lr_schedule_"),
    "tag": (argue("kernel", {"$eval": "1"}), "unknown argument"),
    "kernel": (argue("kernel", "spline"), "unknown kernel 'spline'"),
    "space": (put("action_space", {"type": "Text"}), "unknown space"),
    "other space": (
        put("observation_space", {"type": "Discrete", "n": 3, "start": 0}),
        "expected torch.float32 of shape",
    ),
    "no arguments": (put("arguments", None), "holds no policy"),
    "sizes": (put("sizes", [3, 3]), "the sizes are"),
    "wide": (argue("net_arch", {"pi": [10**6, 10**6], "vf": []}), "more weights than the file has"),
    "wide grid": (argue("grid_size", 10**6), "more weights than the file has"),
    "wide critic": (
        argue("net_arch", {"pi": [16, 12], "vf": [10**5]}),
        "more weights than the file has",
    ),
    "deep": (argue("net_arch", {"pi": [1] * 10**5, "vf": []}), "more than the file has weights for"),
    "wide within limits": (argue("net_arch", {"pi": [4000, 4000], "vf": []}), "of shape (4000, 5)"),
    "many levels": (argue("scale_levels", 10**6), "more weights than the file has"),
    "kernel of text": (argue("kernel", {"$value": "LowPass", "kernel": "cubic"}), "cannot be 'cubic'"),
    "kernel of nothing": (argue("kernel", {"$value": "CubicConvolution", "a": None}), "cannot be None"),
    "infinite": (argue("log_std_init", float("inf")), "Infinity is not a number"),
    "wide space": (
        put("observation_space", {"type": "Discrete", "n": 2**24, "start": 0}),
        "a space is too large",
    ),
    "many spaces": (
        put(
            "observation_space",
            {"type": "Dict", "spaces": [[str(i), {**BOX, "shape": [2**19]}] for i in range(40)]},
        ),
        "a space is too large",
    ),
    "countless spaces": (
        put("observation_space", {"type": "Dict", "spaces": [[str(i), BOX] for i in range(10**5)]}),
        "a space has too many parts",
    ),
    "deep kernel": (argue("kernel", nested_kernel(30)), "more than 12 levels"),
    "endless": (argue("net_arch", {"pi": [10**30], "vf": []}), "too large"),
    "shape": (replace(WEIGHT, torch.zeros(3, 3)), r"is torch.float32 of shape \(3, 3\)"),
    "type": (replace(WEIGHT, torch.zeros(16, 5, dtype=torch.float64)), "is torch.float64"),
    "NaN": (replace(WEIGHT, torch.full((16, 5), torch.nan)), "NaN or infinite"),
    "size": (replace("actor_axes.0.points", torch.empty(10**12, 0)), "more than 4096 points"),
    "no size": (replace("actor_axes.0.points", torch.empty(0, 0)), "size of an axis"),
    "more": (replace("other", torch.zeros(1)), "not known: ['other']"),
    "less": (lambda content, tensors: tensors.pop(WEIGHT), f"missing: ['{WEIGHT}']"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_file_that_is_wrong_on_purpose_is_refused_before_it_takes_memory(
    forge: Callable[..., Path], case: str
) -> None:
    # given
    change, said = WRONG[case]
    path = forge(change)
    # when
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=said if "\\" in said else re.escape(said)):
        load_policy(path)
    # then no memory was given to it (in kB)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize("eps", [None, "1", [1], {"a": 1}, {"$class": "ReLU"}], ids=str)
def test_an_argument_with_which_the_policy_cannot_act_is_refused(
    make_model: Callable[..., Any], rewrite: Callable[..., None], tmp_path: Path, eps: Any
) -> None:
    path = tmp_path / "policy"
    save_policy(make_model(CrossQ).policy, path)
    rewrite(path, argue("batch_norm_eps", eps))
    with pytest.raises(ValueError, match="holds no policy that can be built"):
        load_policy(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900])
def test_deep_nesting_is_refused(forge: Callable[..., Path], text: str) -> None:
    path = forge(policy=text)
    with pytest.raises(ValueError, match="holds no policy"):
        load_policy(path)


@pytest.mark.parametrize("name", ["class", "sizes"])
def test_what_is_said_is_short_however_long_the_file_is(forge: Callable[..., Path], name: str) -> None:
    with pytest.raises(ValueError, match="holds no policy") as raised:
        load_policy(forge(put(name, "x" * 10**6)))
    assert len(str(raised.value)) < 4000
    with pytest.raises(ValueError, match="its header has") as raised:
        load_policy(forge(**{"x" * 10**6: ""}))
    assert len(str(raised.value)) < 4000


def test_another_version_says_so(forge: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="is of version 9 of the format, expected 3"):
        load_policy(forge(version="9"))


@pytest.mark.parametrize("header", [{"format": "other"}, {"version": "x"}, {"more": ""}])
def test_another_header_is_refused(forge: Callable[..., Path], header: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="safe file"):
        load_policy(forge(**header))


def test_another_environments_spaces_are_refused(forge: Callable[..., Path]) -> None:
    path = forge()
    with pytest.raises(ValueError, match=r"was not made for Discrete\(2\), but for Box"):
        load_policy(path, action_space=spaces.Discrete(2))
    with pytest.raises(ValueError, match=r"was not made for Discrete\(2\), but for Box"):
        load_policy(path, observation_space=spaces.Discrete(2))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a whole safe file"):
        load_policy(tmp_path / "none")
    with pytest.raises(ValueError, match="is not a whole safe file"):
        load_policy(tmp_path)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Change a file in one of the ways in which files go wrong."""
    changed = bytearray(content)
    header = int.from_bytes(content[:8], "little") + 8
    where = chance.randrange(len(content) if chance.random() < 0.5 else header)
    kind = chance.randrange(7)
    if kind == 0:
        changed[where] ^= 1 << chance.randrange(8)
    elif kind == 1:
        changed[where] = chance.randrange(256)
    elif kind == 2:
        del changed[where:]
    elif kind == 3:
        del changed[where : where + chance.randrange(1, 9)]
    elif kind == 4:
        changed[where:where] = chance.randbytes(chance.randrange(1, 9))
    elif kind == 5:  # numbers in the header: offsets, shapes, arguments
        digits = [i for i in range(8, header) if chr(content[i]).isdigit()]
        for i in chance.sample(digits, 2):
            changed[i] = ord(chance.choice("0123456789"))
    else:  # two pieces change places
        other = chance.randrange(len(content))
        changed[where], changed[other] = changed[other], changed[where]
    return bytes(changed)


def test_a_thousand_mutated_files_are_refused_or_are_the_same_policy(
    make_policy: Callable[..., Any], tmp_path: Path
) -> None:
    # given
    path = tmp_path / "policy.safetensors"
    policy = make_policy("box", net_arch={"pi": [6, 5], "vf": []}).resize(4)
    save_policy(policy, path)
    content, wanted = path.read_bytes(), bits(policy)
    chance = random.Random(0)
    refused = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutate(content, chance))
        # when
        try:
            again: Any = load_policy(path)
        except ValueError:
            refused += 1
            continue
        # then
        assert type(again) is type(policy)
        assert again.sizes == policy.sizes
        assert bits(again) == wanted
    assert refused > 0.9 * MUTATIONS


class Own(IntegralActorCriticPolicy):
    pass


class OwnActivation(nn.ReLU):
    pass


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy_class": Own}, "^Own cannot be written"),
        ({"activation_fn": OwnActivation}, "OwnActivation.*cannot be written to a safe file"),
    ],
)
def test_what_a_safe_file_cannot_hold_is_refused_and_not_written(
    make_policy: Callable[..., Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    policy = make_policy("box", **change)
    with pytest.raises(ValueError, match=said):
        save_policy(policy, tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_nan_is_not_written(make_policy: Callable[..., Any], tmp_path: Path) -> None:
    policy = make_policy("box")
    with torch.no_grad():
        policy.action_net.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"action_net\.bias has values that are NaN"):
        save_policy(policy, tmp_path / "p")
    assert not list(tmp_path.iterdir())


# Files that are wrong on purpose, of every algorithm


HUGE = {
    "n_critics": (SAC, {"n_critics": 2**17}),
    "n_quantiles": (QRDQN, {"n_quantiles": 2**20}),
    "n_quantiles of critics": (TQC, {"n_quantiles": 2**20}),
    "n_lstm_layers": (RecurrentPPO, {"n_lstm_layers": 2**16}),
    "lstm_hidden_size": (RecurrentPPO, {"lstm_hidden_size": 2**16}),
    "lstm_kwargs": (RecurrentPPO, {"lstm_kwargs": {"num_layers": 2**16}}),
    "net_arch": (DQN, {"net_arch": [1] * 2**16}),
    "widths": (TD3, {"net_arch": {"pi": [12, 10], "qf": [2**16, 2**16]}}),
    "grid_size": (SAC, {"grid_size": 2**15}),
    "size": (CrossQ, {"net_arch": [2**15, 2**15], "grid_size": [12, 10]}),
}


@pytest.mark.parametrize("case", sorted(HUGE))
def test_no_argument_makes_more_than_the_file_holds(
    case: str, make_model: Callable[..., Any], rewrite: Callable[..., None], tmp_path: Path
) -> None:
    # given
    algorithm, arguments = HUGE[case]
    path = tmp_path / "policy"
    save_policy(make_model(algorithm).policy, path)
    rewrite(path, lambda content, tensors: content["arguments"].update(arguments))
    # when / then
    assert_refused_before_it_takes_memory(path)


def test_no_features_extractor_makes_more_than_the_file_holds(
    make_model: Callable[..., Any], rewrite: Callable[..., None], tmp_path: Path
) -> None:
    # given
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    model = make_model(PPO, "IntegralCnnPolicy", image, features_extractor_kwargs={"features_dim": 16})
    path = tmp_path / "policy"
    for change in (
        argue("features_extractor_kwargs", {"features_dim": 2**18}),
        argue("features_extractor_kwargs", {"features_dim": 2**13}),
        put("observation_space", {**space_to_json(image), "shape": [3, 590, 590]}),
        put("observation_space", {**space_to_json(image), "shape": [3, 2**15, 2**15]}),
    ):
        save_policy(model.policy, path)
        rewrite(path, change)
        # when / then
        assert_refused_before_it_takes_memory(path)


def assert_refused_before_it_takes_memory(path: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="holds no policy that can be built"):
            load_policy(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**28


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([{"$class": name} for name in CLASSES] + [{"$value": name} for name in VALUES])
    | st.text(max_size=5)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_header_of_anything_with_a_right_digest_is_refused_or_gives_a_policy_that_acts(
    data: st.DataObject,
    header_files: list[Path],
    rewrite: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given a file in whose description one value was exchanged
    path = tmp_path_factory.mktemp("fuzz") / "policy"
    path.write_bytes(data.draw(st.sampled_from(header_files)).read_bytes())

    def exchange(content: Any, tensors: dict[str, torch.Tensor]) -> None:
        place = content
        while True:
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            key = data.draw(st.sampled_from(keys), label="where")
            deeper = isinstance(place[key], dict | list) and len(place[key])
            if not deeper or data.draw(st.booleans(), label="here"):
                place[key] = data.draw(ANYTHING, label="what")
                return
            place = place[key]

    rewrite(path, exchange)
    # when
    refusal = None
    try:
        policy = load_policy(path)
    except ValueError as error:
        refusal = str(error)
    if refusal is not None:  # then it is one line that names the file
        assert "\n" not in refusal
        assert str(path) in refusal
        return
    # then
    seen = np.zeros(policy.observation_space.shape, policy.observation_space.dtype)
    action, _ = policy.predict(seen, deterministic=True)
    assert np.shape(action) == policy.action_space.shape
