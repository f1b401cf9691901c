"""Leaving the library: plain SB3, ONNX, torch.export, C, and files that hold nothing executable."""

from sb3_integral.requirements import require

require("deploy", "safetensors")

from sb3_integral.deploy.plain_sb3 import export_sb3, plain_model, plain_policy  # noqa: E402
from sb3_integral.deploy.safe import load_policy, save_policy  # noqa: E402
