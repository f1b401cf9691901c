"""The deterministic actor of a policy as data, and its back ends: NumPy, torch, ONNX and C."""

from sb3_integral.actor.description import Description, Notes
from sb3_integral.actor.examples import example_observation
from sb3_integral.actor.extract import Source, actor_spec, ordinary_policy
from sb3_integral.actor.heads import Head
from sb3_integral.actor.normalization import DrawbackWarning, Statistics, fold_normalization
from sb3_integral.actor.numpy_actor import Actor, NumpyActor, quickest_actor
from sb3_integral.actor.spec import ActorSpec, Perceptron

__all__ = [
    "Actor",
    "ActorSpec",
    "Description",
    "DrawbackWarning",
    "Head",
    "Notes",
    "NumpyActor",
    "Perceptron",
    "Source",
    "Statistics",
    "actor_spec",
    "example_observation",
    "fold_normalization",
    "ordinary_policy",
    "quickest_actor",
]
