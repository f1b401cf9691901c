"""Leaving the library: the size that fits, and files that run without it."""

from sb3_integral.requirements import require

require("deploy", "safetensors")

from sb3_integral.actor import DrawbackWarning, Notes, fold_normalization, quickest_actor  # noqa: E402
from sb3_integral.actor.c_header import export_c  # noqa: E402
from sb3_integral.actor.onnx_export import export_onnx, quantize_onnx  # noqa: E402
from sb3_integral.actor.onnx_policy import OnnxPolicy  # noqa: E402
from sb3_integral.actor.torch_module import export_torch  # noqa: E402
from sb3_integral.deploy.budget import BudgetError, FittedSize, fit_to_budget  # noqa: E402
from sb3_integral.deploy.controller import SizeController  # noqa: E402
from sb3_integral.deploy.driving import DrivingPredictor  # noqa: E402
from sb3_integral.deploy.latency import MeasuredLatency  # noqa: E402
from sb3_integral.deploy.plain_sb3 import export_sb3, plain_model, plain_policy  # noqa: E402
from sb3_integral.deploy.reward_comparison import compare_rewards, observations_of  # noqa: E402
from sb3_integral.deploy.smallest import SizeTrial, SmallestSize, smallest_size  # noqa: E402
from sb3_integral.deploy.sources import Loaded, algorithms, read_source  # noqa: E402
from sb3_integral.policies.serialization import load_policy, save_policy  # noqa: E402

__all__ = [
    "BudgetError",
    "DrawbackWarning",
    "DrivingPredictor",
    "FittedSize",
    "Loaded",
    "MeasuredLatency",
    "Notes",
    "OnnxPolicy",
    "SizeController",
    "SizeTrial",
    "SmallestSize",
    "algorithms",
    "compare_rewards",
    "export_c",
    "export_onnx",
    "export_sb3",
    "export_torch",
    "fit_to_budget",
    "fold_normalization",
    "load_policy",
    "observations_of",
    "plain_model",
    "plain_policy",
    "quantize_onnx",
    "quickest_actor",
    "read_source",
    "save_policy",
    "smallest_size",
]
