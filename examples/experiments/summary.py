"""The README's table of published results, made of the full forms' results in ``results/``.

python examples/experiments/summary.py
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def rows(folder: Path = RESULTS) -> list[str]:
    """The table's lines: what is claimed, the source's figure, ours, the verdict, the script."""
    lines = ["| claim | in the source | here | verdict | script |", "|---|---|---|---|---|"]
    for file in sorted(folder.glob("*.json")):
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved["quick"]:
            raise ValueError(f"{file.name} holds a quick form, which proves nothing: run {saved['script']} in full")
        for found in saved["findings"]:
            script = f"[`{file.stem}`](examples/experiments/{saved['script']})"
            figure = f"[figure](examples/experiments/results/{file.stem}.png)"
            cells = (found["claim"], found["paper"], found["here"], found["verdict"], f"{script}, {figure}")
            lines.append(f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
