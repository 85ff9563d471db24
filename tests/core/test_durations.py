"""Units: what a length may look like, its one canonical form, and where it ends on a run's time axis."""

import pickle
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_lr import Cosine, Horizon, Warmup
from lightning_lr.core.durations import as_duration, boundary

PROPERTY = settings(derandomize=True, deadline=None)
CANONICAL = [
    (500, 500),
    ("500", 500),
    ("500 steps", 500),
    ("1 step", 1),
    ("500.0 steps", 500),
    ("3 epochs", "3 epochs"),
    ("3epochs", "3 epochs"),
    ("3ep", "3 epochs"),
    ("3 Epochs", "3 epochs"),
    ("1 epoch", "1 epoch"),
    ("1.0 ep", "1 epoch"),
    ("1.50ep", "1.5 epochs"),
    (".5 epochs", "0.5 epochs"),
    ("20%", "20%"),
    (" 20.0 % ", "20%"),
    ("0.05%", "0.05%"),
    ("100%", "100%"),
]


@pytest.mark.parametrize(("written", "canonical"), CANONICAL)
def test_a_duration_has_one_canonical_form(written, canonical):
    found = as_duration(written, "x")
    assert (found, type(found)) == (canonical, type(canonical))


@pytest.mark.parametrize("canonical", sorted({str(c) for _, c in CANONICAL}))
def test_the_canonical_form_is_its_own_canonical_form(canonical):
    assert str(as_duration(canonical, "x")) == canonical


def test_schedules_that_mean_the_same_length_are_equal():
    assert Warmup("500 steps") == Warmup(500)
    assert Cosine("1.50ep") == Cosine("1.5 epochs")
    assert Cosine("10%") != Cosine(10)


def test_zero_is_a_duration_only_where_it_is_allowed():
    assert as_duration("0 steps", "x", zero=True) == 0
    with pytest.raises(ValueError, match="x must be positive, got 0"):
        as_duration(0, "x")
    with pytest.raises(ValueError, match=r"x must be >= 0, got '-1 epoch'"):
        as_duration("-1 epoch", "x", zero=True)


@pytest.mark.parametrize(
    ("horizon", "start", "spec", "expected"),
    [
        (Horizon(1000, 100), 0, "5%", 50),
        (Horizon(1000, 100), 50, "3 epochs", 350),
        (Horizon(1000, 100), 7, 500, 507),
        (Horizon(1000, 100), 0, "1.5 epochs", 150),
        (Horizon(7), 0, "50%", Fraction(7, 2)),
        (Horizon(None, 4), 2, "1 epoch", 6),
        (Horizon(30, (2, 3, 5)), 0, "1 epoch", 2),
        (Horizon(30, (2, 3, 5)), 0, "2 epochs", 5),
        (Horizon(30, (2, 3, 5)), 0, "3 epochs", 10),
        (Horizon(30, (2, 3, 5)), 0, "4 epochs", 15),  # the last length repeats
        (Horizon(30, (2, 3, 5)), 1, "1 epoch", Fraction(7, 2)),  # half of the first, half of the second
        (Horizon(30, (2, 3, 5)), 2, "1.5 epochs", Fraction(15, 2)),
    ],
)
def test_a_duration_after_a_position(horizon, start, spec, expected):
    assert horizon.after(start, spec) == expected


def test_a_sequence_of_epoch_lengths_repeats_its_last():
    assert Horizon(30, [2, 3, 3, 3]) == Horizon(30, (2, 3))
    assert Horizon(30, [4, 4]) == Horizon(30, 4)


def test_horizons_are_values():
    one, same, other = Horizon(30, [2, 3]), Horizon(30, (2, 3)), Horizon(30, 2)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert eval(repr(one)) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert Horizon(*one.state()) == one
    assert one.state() == [30, [2, 3]]
    with pytest.raises(AttributeError, match="Horizon is immutable; make another instead of assigning total_steps"):
        one.total_steps = 3


def test_the_callers_list_of_epoch_lengths_is_left_alone():
    lengths = [2, 3, 3]
    Horizon(30, lengths)
    assert lengths == [2, 3, 3]


@pytest.mark.parametrize(
    ("position", "update"),
    [(0, 0), (Fraction(1, 2), 1), (Fraction(49, 100), 0), (Fraction(5, 2), 3), (Fraction(7, 3), 2), (7, 7)],
)
def test_a_boundary_is_the_nearest_update_and_halves_go_up(position, update):
    assert boundary(position) == update


def test_a_length_before_the_beginning_of_the_run_is_a_negative_position():
    assert Horizon(10, [2, 3]).before(5, "8 epochs") == -12
    assert Horizon(10, 5).before(5, "3 epochs") == -10


HORIZONS = st.builds(
    Horizon,
    st.integers(1, 10**6),
    st.integers(1, 1000) | st.lists(st.integers(1, 50), min_size=1, max_size=5),
)
POSITIONS = st.fractions(0, 10**4, max_denominator=1000)
SPECS = (
    st.integers(1, 10**6)
    | st.integers(1, 999).map(lambda n: as_duration(f"{n / 10}%", "x"))
    | st.integers(1, 400).map(lambda n: as_duration(f"{n / 8} epochs", "x"))
)


@PROPERTY
@given(HORIZONS, POSITIONS, SPECS)
def test_before_undoes_after(horizon, position, spec):
    assert horizon.before(horizon.after(position, spec), spec) == position


@PROPERTY
@given(HORIZONS, POSITIONS)
def test_at_epoch_undoes_epochs(horizon, position):
    assert horizon.at_epoch(horizon.epochs(position)) == position


@PROPERTY
@given(HORIZONS, POSITIONS, SPECS)
def test_a_duration_always_moves_forward(horizon, position, spec):
    assert horizon.before(position, spec) < position < horizon.after(position, spec)


@PROPERTY
@given(st.integers(1, 10**5), st.lists(st.integers(1, 1000), min_size=1, max_size=12))
def test_shares_that_add_up_to_the_whole_cover_any_run_exactly(total, weights):
    tenths = [1000 * w // sum(weights) for w in weights]
    tenths[-1] += 1000 - sum(tenths)
    position = Fraction(0)
    for tenth in filter(None, tenths):
        position = Horizon(total).after(position, as_duration(f"{tenth // 10}.{tenth % 10}%", "x"))
    assert position == total
