"""From a trained agent to the smallest file that does the same job, with the evidence."""

from sb3_integral.requirements import require

require("imitation", "imitation", "datasets", "safetensors")

from sb3_integral.deploy.compress.compressing import compress  # noqa: E402
from sb3_integral.deploy.compress.goal import Goal  # noqa: E402
from sb3_integral.deploy.compress.result import Compressed, NotAsGoodError  # noqa: E402

__all__ = ["Compressed", "Goal", "NotAsGoodError", "compress"]
