"""Leaving the library: plain SB3, ONNX, torch.export, C, and files that hold nothing executable."""

from sb3_integral.requirements import require

require("deploy", "safetensors")

from sb3_integral.deploy.acting import Earned, compare_rewards, observations_of  # noqa: E402
from sb3_integral.deploy.actor import DeterministicActor, deterministic_actor  # noqa: E402
from sb3_integral.deploy.c_header import export_c  # noqa: E402
from sb3_integral.deploy.normalization import fold_normalization  # noqa: E402
from sb3_integral.deploy.onnx_export import export_onnx, quantize_onnx  # noqa: E402
from sb3_integral.deploy.onnx_policy import OnnxPolicy  # noqa: E402
from sb3_integral.deploy.plain_sb3 import export_sb3, plain_model, plain_policy  # noqa: E402
from sb3_integral.deploy.safe import load_policy, save_policy  # noqa: E402
from sb3_integral.deploy.sources import Loaded, algorithms, read_source  # noqa: E402
from sb3_integral.deploy.torch_export import export_torch  # noqa: E402

__all__ = [
    "DeterministicActor",
    "Earned",
    "Loaded",
    "OnnxPolicy",
    "algorithms",
    "compare_rewards",
    "deterministic_actor",
    "export_c",
    "export_onnx",
    "export_sb3",
    "export_torch",
    "fold_normalization",
    "load_policy",
    "observations_of",
    "plain_model",
    "plain_policy",
    "quantize_onnx",
    "read_source",
    "save_policy",
]
