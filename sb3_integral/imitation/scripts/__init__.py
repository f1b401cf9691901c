"""imitation's own training scripts with integral students, and experts that TRPO trained.

``python -m sb3_integral.imitation.scripts``, or ``sb3-integral imitation``, runs them. Importing this
changes nothing in imitation.
"""

from sb3_integral.imitation.scripts.entry_point import SCRIPTS, main
from sb3_integral.imitation.scripts.saved_policies import (
    NormalizedPolicy,
    load_student_policy,
    load_trpo_expert,
    reconstruct_policy,
)

__all__ = [
    "SCRIPTS",
    "NormalizedPolicy",
    "load_student_policy",
    "load_trpo_expert",
    "main",
    "reconstruct_policy",
]
