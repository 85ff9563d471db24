"""A schedule expression: the same schedule as in Python, and nothing that Python would execute."""

from __future__ import annotations

from typing import Any

import pytest

import lightning_lr
from lightning_lr.core.expression import makers, parse

GOOD = [
    'Warmup("5%") >> Cosine(end_factor=0.1)',
    "one_cycle(momentum_factor=0.85 / 0.95)",
    "Warmup(4) >> (Constant('2 epochs') >> Linear())",
    "Chain([Warmup(2), Constant(3), Cosine()])",
    "MultiStep([3, '50%'], gamma=1e-1)",
    "Cosine().beside(momentum=Linear(), weight_decay=Constant())",
    'Beside(Cosine(), {"momentum": Linear()})',
    "(Warmup(3) >> Cosine()).beside(momentum=Constant(3, 0.9) >> Linear())",
    "Custom('math:exp', of='step')",
    "Exponential(1 - 2 * 0.25, staircase=True, duration=None)",
    "Warmup(\n  10\n) >> Cosine()",
]


@pytest.mark.parametrize("text", GOOD)
def test_it_is_the_schedule_that_python_makes_of_it(text: str) -> None:
    names: dict[str, Any] = {name: getattr(lightning_lr, name) for name in makers()}
    assert parse(text) == eval(text, names)


@pytest.mark.parametrize("text", GOOD)
def test_what_a_schedule_shows_of_itself_can_be_read_back(text: str) -> None:
    schedule = parse(text)
    assert parse(repr(schedule)) == schedule


BAD = [
    ("", "expression is empty"),
    ("Warmup(4) >> Cosin()", r"^column 14: there is no schedule 'Cosin'; did you mean 'Cosine'\? In: Warmup"),
    ("Cosine(end_facter=0.1)", r"^column 8: Cosine has no parameter 'end_facter'; did you mean 'end_factor'\?"),
    ("wsd(colldown='5%')", r"^column 5: wsd has no parameter 'colldown'; did you mean 'cooldown'\?"),
    ("Warmup(shape='linear')", r"^column 1: Warmup: missing a required argument: 'duration'; it takes duration, start"),
    ("Cosine(1, 2, 3)", "^column 1: Cosine: too many positional arguments; it takes duration, end_factor"),
    ("Warmup(4) >> Cosine", r"^column 14: a schedule is called: write Cosine\(…\)"),
    ("Warmup(0.05)", r"^column 1: Warmup: duration is a bare float, 0.05, .* write '5%'"),
    ("Cosine() >> Linear()", r"^column 13: Chain: at most one phase may leave its duration out"),
    ("Warmup(4) >> 5", "^column 14: a schedule is expected here, got 5"),
    ("[Warmup(4), Cosine()]", "^column 1: a schedule is expected here, got "),
    ("Warmup(4) | Cosine()", "^column 1: schedules are joined with >>"),
    ("Warmup(4) + Cosine()", r"^column 1: a number is expected here, got Warmup\(4\)"),
    ("Cosine(end_factor=1/0)", "^column 19: division by zero"),
    ("Cosine(end_factor=9**9)", r"^column 19: schedules are joined with >>, and numbers take \+ - \* / only"),
    ("Cosine(end_factor=0.1, end_factor=0.2)", "^column 24: end_factor is given twice"),
    ("Cosine(**{})", r"^column 8: \*\* is not allowed"),
    ("Cosine(*[1])", r"^column 8: '\*\[1\]' is no schedule, list or literal"),
    ("Cosine().besides(momentum=Linear())", r"^column 1: a schedule has \.beside\(…\) only, not \.besides"),
    ("Cosine().beside(Linear())", "^column 17: beside takes its schedules by name"),
    ("Cosine().beside(momentum=1)", "^column 26: a schedule is expected here, got 1"),
    ("Warmup(4", "^column 7: .* was never closed"),
    ("Warmup(5%) >> Cosine()", r"^column 10: .*; a length with a unit is a string, '5%', and a shell"),
    ("Custom(lambda u: 1 - u)", r"^column 8: 'lambda u: 1 - u' is no .*'module:name'"),
    ("Custom('ä') >> Cosin()", "^column 1: Custom: fn names 'ä', which cannot be imported"),
    ("Custom('math:exp', of='ä')", "^column 1: Custom: of must be one of 'progress'"),
    ("Chain(['ä', Cosin()])", "^column 13: there is no schedule 'Cosin'"),
    ("Warmup(4) >> Cosine(); print()", "^column 22: invalid syntax"),
    ("x = Cosine()", "^column 3: invalid syntax"),
    ("a" * 3 + "\0", "null bytes|no schedule"),
    ("(" * 5000, "nested"),
    ("Warmup(1) >> " * 30000 + "Cosine()", "nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text[:40] for text, _ in BAD])
def test_a_mistake_names_its_column(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {}')",
        "open('{}', 'w')",
        "Custom(open('{}', 'w'))",
        "[open('{}', 'w') for _ in [1]]",
        "Cosine.__init__.__globals__['__builtins__']['open']('{}', 'w')",
        "f\"{{open('{}', 'w')}}\"",
        "Cosine(end_factor=(x := open('{}', 'w')))",
    ],
)
def test_nothing_is_executed(tmp_path: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"^column "):
        parse(text.format(tmp_path / "made"))
    assert list(tmp_path.iterdir()) == []
