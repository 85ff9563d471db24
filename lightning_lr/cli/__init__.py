"""``lightning-lr``: look at schedules before a run, find the ones that suit a model, and look at runs after them.

::

    lightning-lr preview 'Warmup("5%") >> Cosine()' --total-steps 1000
    lightning-lr sweep 'Exponential({gamma}, decay_steps="1 epoch")' --vary lr=0.01,0.1 --vary gamma=0.8,0.9
    lightning-lr compare --optimizers SGD,Adam
    lightning-lr report runs --out report.html
    lightning-lr events runs
    lightning-lr schedules one_cycle

Results go to stdout, or to the files that were asked for. Bad input is one line on stderr and the exit code 2. Each
command is a module of its own; ``command.py`` puts them together.
"""

from lightning_lr.cli.command import main as main
from lightning_lr.cli.preview import _from_yaml as _from_yaml
