"""A page on which two networks drive an environment, and the reader chooses their size meanwhile."""

from sb3_integral.experiments.report.moving.data import MOVING_ENVIRONMENTS, moving_data
from sb3_integral.experiments.report.moving.write import render_moving_page

__all__ = ["MOVING_ENVIRONMENTS", "moving_data", "render_moving_page"]
