"""A whole experiment, from the expert to the table, as resumable stages of one configuration."""

from sb3_integral.requirements import require

require("experiments", "sb3_contrib", "rl_zoo3", "pandas", "pydantic", "filelock", "tabulate")
require("experiments", "altair", "vl_convert", "jinja2", "imageio", "PIL")
