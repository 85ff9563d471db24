"""Which schedule, which lr, which decay for this model: measured, not guessed. Needs the extra ``tune``.

``sweep`` trains at every point of a grid; ``compare`` trains optimizers and schedules with equal effort, and says what
of the source article's claims holds here.
"""

from lightning_lr.tuning.comparison import Comparison as Comparison
from lightning_lr.tuning.comparison import compare as compare
from lightning_lr.tuning.point import Point as Point
from lightning_lr.tuning.results import Row as Row
from lightning_lr.tuning.results import Sweep as Sweep
from lightning_lr.tuning.search import sweep as sweep

__all__ = ["Comparison", "Point", "Row", "Sweep", "compare", "sweep"]
