"""Detectors: exact traces, an independent Trend, and what holds for every one of them and their combinations."""

import copy
import json
import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_lr import Patience, Trend, Window
from lightning_lr.core.detectors import Both, Either, lists, noise, slope, tuples

NAN, INF = math.nan, math.inf
PROPERTY = settings(derandomize=True, deadline=None)


def feed(detector, values, counts=None, state=None):
    """What fired at each value, and the last state."""
    state = detector.init() if state is None else state
    fired = []
    for value, count in zip(values, counts or [True] * len(values), strict=True):
        state, now = detector.update(state, value, count)
        fired.append(now)
    return fired, state


def trace(text):
    """'..!' as [False, False, True]."""
    return [c == "!" for c in text]


# ---- Patience


@pytest.mark.parametrize(
    ("detector", "values", "fires", "state"),
    [
        # an exact number of bad evaluations in a row, and by level from then on
        (Patience(0), [1.0, 1.0, 1.0, 0.5, 0.5], ".!!.!", (0.5, 1)),
        (Patience(2), [1.0, 1.0, 1.0, 1.0, 1.0], "...!!", (1.0, 4)),
        (Patience(1), [1.0, 1.1, 0.9, 0.95, 0.96], "....!", (0.9, 2)),
        (Patience(1), [1.0, 1.1, 1.2, 0.9, 0.95], "..!..", (0.9, 1)),
        (Patience(2), [3.0, 2.0, 1.0, 0.5], "....", (0.5, 0)),
        # "more than": exactly the threshold is no improvement
        (Patience(0, threshold=0.25), [1.0, 0.75, 0.7499], ".!.", (0.7499, 0)),
        (Patience(0, 0.25, "abs"), [4.0, 3.75, 3.7499], ".!.", (3.7499, 0)),
        (Patience(0, threshold=0.0), [1.0, 1.0, math.nextafter(1.0, 0.0)], ".!.", (math.nextafter(1.0, 0.0), 0)),
        (Patience(0), [1.0, 0.9999, 0.99989], ".!.", (0.99989, 0)),
        # improvements too small to count do not move the best: small steps add up
        (Patience(2, threshold=0.25), [1.0, 0.9, 0.8, 0.7], "....", (0.7, 0)),
        (Patience(1, threshold=0.25), [1.0, 0.9, 0.8, 0.7], "..!.", (0.7, 0)),
        # negative metrics: relative to |best|, so that better is lower
        (Patience(0, threshold=0.1), [-1.0, -0.95], ".!", (-1.0, 1)),
        (Patience(0, threshold=0.1), [-1.0, -1.05, -1.1, -1.11], ".!!.", (-1.11, 0)),
        (Patience(0, 0.5, "abs"), [-1.0, -1.4, -1.5, -1.6], ".!!.", (-1.6, 0)),
        (Patience(0, threshold=0.1), [0.05, -0.05, -0.054, -0.056], "..!.", (-0.056, 0)),
        (Patience(0, threshold=0.1), [0.0, 0.0, -1e-300, 1.0], ".!.!", (-1e-300, 1)),
        # a threshold of more than the whole
        (Patience(0, threshold=2.0), [1.0, 0.0, -0.9, -1.1], ".!!.", (-1.1, 0)),
        # what is not finite is never an improvement
        (Patience(1), [NAN, NAN, NAN], ".!!", (None, 3)),
        (Patience(0), [NAN, 5.0, NAN, INF, -INF, 4.0], "!.!!!.", (4.0, 0)),
        (Patience(1), [1.0, NAN, -INF, 1.0], "..!!", (1.0, 3)),
    ],
)
def test_patience_fires_exactly_here(detector, values, fires, state):
    assert feed(detector, values) == (trace(fires), state)


def test_patience_counts_nothing_bad_where_nothing_counts_but_remembers_the_best():
    fired, state = feed(Patience(0), [3.0, 2.0, 2.5, 2.5, 2.5], [False] * 4 + [True])
    assert fired == trace("....!")
    assert state == (2.0, 1)
    # what had been counted before stays; an improvement clears it even where nothing counts
    detector = Patience(2)
    assert feed(detector, [1.0, 1.1, 1.1, 1.2, 1.2, 1.2], [True] * 3 + [False] * 2 + [True]) == (
        trace(".....!"),
        (1.0, 3),
    )
    assert feed(detector, [1.0, 1.1, 1.1, 0.5, 1.2], [True] * 3 + [False, True]) == (trace("....."), (0.5, 1))
    assert feed(detector, [NAN] * 5, [False] * 5) == (trace("....."), (None, 0))


def test_after_an_action_patience_keeps_the_best_and_begins_to_count_again():
    detector = Patience(1)
    fired, state = feed(detector, [1.0, 2.0, 2.0])
    assert (fired, detector.after_action(state)) == (trace("..!"), (1.0, 0))
    assert feed(detector, [1.5, 1.5, 0.9], state=(1.0, 0)) == (trace(".!."), (0.9, 0))
    assert (detector.best(state), detector.best(detector.init())) == (1.0, None)


def test_evidence_in_words():
    assert Patience(1).because((1.0, 2)) == "not better by more than 0.01% in 2 evaluations"
    assert Patience(1, 0.5).because((1.0, 2)) == "not better by more than 50% in 2 evaluations"
    assert Patience(1, 0.5, "abs").because((1.0, 2)) == "not better by more than 0.5 in 2 evaluations"
    assert Patience(1).because((None, 3)) == "no finite value in 3 evaluations"
    assert Window(3).because((1.0, 1.0, 1.0)) == "nothing gained by more than 0.001 of it within 3 evaluations"
    assert Trend().because((9, (), ())) == "no trend beyond the noise after 9 evaluations"
    both = Patience(1) & Window(3)
    assert both.because(((1.0, 2), (1.0, 1.0, 1.0))) == (
        "not better by more than 0.01% in 2 evaluations, and nothing gained by more than 0.001 of it within 3 "
        "evaluations"
    )
    assert (Trend() | Patience(0)).because(((9, (), ()), (1.0, 1))) == (
        "no trend beyond the noise after 9 evaluations, or not better by more than 0.01% in 1 evaluations"
    )


# ---- Window


@pytest.mark.parametrize(
    ("detector", "values", "fires"),
    [
        (Window(3, 0.0), [3.0, 3.0, 3.0, 2.0, 3.0, 3.0, 3.0], "..!..!!"),
        (Window(2, 0.25), [4.0, 3.0, 2.2, 2.0, 1.4], ".!.!."),  # exactly the threshold is nothing gained
        # falls slowly but steadily: never; noisy: when its first is its best
        (Window(4, 1e-3), [1 - 0.01 * i for i in range(8)], "........"),
        (Window(4, 1e-3), [1.0, 1.2, 1.1, 1.3, 1.05, 1.2, 1.1], "...!..."),
        # a new low within the window is a gain, wherever in it
        (Window(3), [1.0, 0.5, 2.0, 2.0, 2.0], "...!!"),
        # negative values: relative to |first|
        (Window(2, 0.1), [-1.0, -1.05, -1.2, -1.0], ".!.!"),
        # what is not finite is the worst there is: no gain, and any number is one after it
        (Window(2), [NAN, NAN, 1.0, INF, -INF], ".!.!!"),
        (Window(3), [NAN, 5.0, 5.0, 5.0], "...!"),
    ],
)
def test_window_fires_exactly_here(detector, values, fires):
    assert feed(detector, values)[0] == trace(fires)


def test_window_takes_in_only_what_counts_and_is_emptied_by_an_action():
    detector = Window(3)
    fired, state = feed(detector, [1.0, 0.1, 1.0, 0.2, 1.0], [True, False, True, False, True])
    assert (fired, state) == (trace("....!"), (1.0, 1.0, 1.0))
    assert detector.after_action(state) == ()
    assert feed(detector, [1.0, 1.0, 1.0], state=())[0] == trace("..!")
    assert detector.best(state) is None


# ---- Trend, against the formulas of SCIENCE written down once more


def reference_trend(values, form="relative", c=None, z=2.054):
    """Whether to fire after the last of ``values``, the whole history since the last action."""
    y = np.asarray(values, dtype=np.float64)
    t = len(y)
    if t < 8:
        return False
    d = np.diff(y[-61:])
    e = d - np.median(d)
    sigma = 1.4826 * np.median(np.abs(e)) / np.sqrt(2)
    power = np.dot(e, e)
    autocorrelation = np.dot(e[:-1], e[1:]) / power if power > 0 else -0.5
    rho = np.clip(1 + 2 * autocorrelation, 0, 0.8)
    sigma_star = sigma * np.sqrt((1 + rho) / (1 - rho)) / np.sqrt(1 - rho)
    if form == "relative":
        delta = (2e-3 if c is None else c) * abs(np.median(y[-8:]))
    else:
        delta = (0.2 if c is None else c) * (np.median(y[:5]) - np.median(y[-8:])) / t
    with np.errstate(divide="ignore"):
        n = int(np.clip(np.ceil((12 * (2 * z * sigma_star / delta) ** 2) ** (1 / 3)), 8, 60))
    return t >= n and np.polyfit(np.arange(n), y[-n:], 1)[0] > -delta / 2


def curve(kind, r, length=90):
    scale, noise_level, rate = 10 ** r.uniform(-3, 3), 10 ** r.uniform(-4, 0), 10 ** r.uniform(-2.5, -0.5)
    shapes = {
        "exponential": lambda t: 1 + math.exp(-rate * t),
        "power law": lambda t: 1 + (t + 1) ** -0.5,
        "line": lambda t: 5 - 0.02 * t,
        "flat": lambda t: 1.0,
        "rising": lambda t: 1 + 0.01 * t,
        "negative": lambda t: -1 - 3 * (1 - math.exp(-rate * t)),
    }
    walk, out = 0.0, []
    for t in range(length):
        walk = 0.7 * walk + r.gauss(0, noise_level)
        out.append(scale * (shapes[kind](t) + r.choice([walk, r.gauss(0, noise_level)])))
    return out


@pytest.mark.parametrize("form", ["relative", "progress"])
@pytest.mark.parametrize("kind", ["exponential", "power law", "line", "flat", "rising", "negative"])
def test_trend_is_the_published_rule(form, kind):
    for seed in range(6):
        r = random.Random(f"{form} {kind} {seed}")
        c, z = r.choice([None, 5e-4, 0.05]), r.choice([2.054, 1.0])
        values = curve(kind, r)
        fired, _ = feed(Trend(form, c, z), values)
        assert fired == [reference_trend(values[: t + 1], form, c, z) for t in range(len(values))], seed
        # and again from the start after an action
        detector = Trend(form, c, z)
        state = detector.after_action(feed(detector, values[:20])[1])
        assert feed(detector, values[20:60], state=state)[0] == [
            reference_trend(values[20 : t + 1], form, c, z) for t in range(20, 60)
        ]


def test_trend_scales_with_its_metric():
    r = random.Random(0)
    values = [2 * math.exp(-t / 9) + 1 + r.gauss(0, 0.02) for t in range(80)]
    for detector in (Trend(), Trend("progress")):
        fired = feed(detector, values)[0]
        assert 8 < fired.index(True) < 80
        assert feed(detector, [v * 2.0**-40 for v in values])[0] == fired
    shifted = [v + 4096.0 for v in values]  # the progress form does not care where zero is
    assert feed(Trend("progress"), shifted)[0] == feed(Trend("progress"), values)[0]


def test_trend_without_noise_knows_flat_from_falling_after_eight():
    assert feed(Trend(), [1.0] * 9)[0] == trace(".......!!")
    assert feed(Trend("progress"), [1.0] * 9)[0] == trace(".......!!")
    assert feed(Trend(), [0.0] * 9)[0] == trace(".......!!")
    assert feed(Trend(), [1.0 - 0.01 * i for i in range(40)])[0] == [False] * 40
    assert feed(Trend("progress"), [1.0 - 0.001 * i for i in range(200)])[0] == [False] * 200
    assert feed(Trend(), [1.0 + 0.01 * i for i in range(9)])[0] == trace(".......!!")


def test_trend_does_not_take_noise_for_a_plateau():
    """A steady fall deep in the noise: no false alarm in 60 checks; patience 10 gives one nearly always."""
    alarms = {"relative": 0, "progress": 0, "patience": 0}
    for seed in range(40):
        r = random.Random(seed)
        values = [5 - 0.05 * t + r.gauss(0, 0.5) for t in range(60)]
        for name, detector in (("relative", Trend()), ("progress", Trend("progress")), ("patience", Patience(10))):
            alarms[name] += any(feed(detector, values)[0])
    assert alarms["progress"] == 0
    assert alarms["relative"] <= 1
    assert alarms["patience"] >= 15


def test_trend_takes_what_is_not_finite_for_the_worst_it_remembers():
    values = [1.0, 3.0, 2.0, NAN, 1.5, INF, -INF, 1.0, 1.2, NAN]
    finite = [1.0, 3.0, 2.0, 3.0, 1.5, 3.0, 3.0, 1.0, 1.2, 3.0]
    for detector in (Trend(), Trend("progress")):
        assert feed(detector, values) == feed(detector, finite)
    assert feed(Trend(), [NAN, INF, 1.0])[1] == (1, (1.0,), (1.0,))  # none remembered yet


@pytest.mark.parametrize("form", ["relative", "progress"])
@pytest.mark.parametrize("huge", [1e120, 1e200, 1.7e308])
def test_trend_survives_a_run_that_blows_up(form, huge):
    r = random.Random(0)
    values = [huge * r.uniform(-1, 1) for _ in range(30)] + [r.choice([5e-324, 1e-310, huge]) for _ in range(70)]
    state = feed(Trend(form), values)[1]
    assert state[0] == 100
    assert all(map(math.isfinite, state[2]))


def test_trend_takes_in_only_what_counts():
    values = [1.0 - 0.01 * i for i in range(12)]
    counts = [i % 3 != 0 for i in range(12)]
    kept = [v for v, c in zip(values, counts, strict=True) if c]
    assert feed(Trend(), values, counts)[1] == feed(Trend(), kept)[1]


def test_noise_is_the_noise_of_the_level():
    r = random.Random(1)
    white = [7 - 0.001 * i + r.gauss(0, 0.25) for i in range(4000)]
    assert noise(white) == pytest.approx(0.25, rel=0.08)
    assert noise([1.0, 2.0, 3.0, 4.0]) == 0.0


def test_slope_is_the_least_squares_slope():
    r = random.Random(2)
    for n in (2, 3, 8, 60):
        values = [r.gauss(0, 1) for _ in range(n)]
        assert slope(values) == pytest.approx(np.polyfit(np.arange(n), values, 1)[0], rel=1e-9, abs=1e-12)
    assert slope([1.0, 1.5, 2.0]) == 0.5


# ---- Both and either


def test_or_fires_when_one_does_and_and_when_both_do_on_the_same_evaluation():
    a, b = Patience(1), Window(3, 0.5)
    values = [4.0, 4.0, 4.0, 1.0, 0.8, 0.7, 0.7, 0.7, 0.69, 0.2]
    fired_a, fired_b = feed(a, values)[0], feed(b, values)[0]
    assert fired_a == trace("..!....!..")
    assert fired_b == trace("..!..!!!!.")
    assert feed(a | b, values)[0] == trace("..!..!!!!.")
    assert feed(a & b, values)[0] == trace("..!....!..")
    assert feed(b & a, values)[0] == feed(a & b, values)[0]
    # one after the other is not both
    early, late = Patience(0), Window(4)
    assert feed(early, [1.0, 1.0, 0.5, 0.5])[0] == trace(".!.!")
    assert feed(late, [1.0, 1.0, 0.5, 0.5])[0] == trace("....")
    assert feed(early & late, [1.0, 1.0, 0.5, 0.5])[0] == trace("....")


def test_combinations_keep_both_states_drop_both_evidences_and_know_the_first_best():
    pair = Window(2) | Patience(3)
    state = feed(pair, [2.0, 1.0, 1.0])[1]
    assert state == ((1.0, 1.0), (1.0, 1))
    assert pair.after_action(state) == ((), (1.0, 0))
    assert (pair.best(state), pair.best(pair.init())) == (1.0, None)
    assert (Trend() & Window(2)).best(((0, (), ()), ())) is None
    nested = (Patience(0) | Window(2)) & Patience(1)
    assert feed(nested, [1.0, 1.0, 1.0])[0] == trace("..!")


# ---- What holds for all


SINGLE = st.one_of(
    st.builds(Patience, st.integers(0, 6), st.floats(0, 0.5), st.sampled_from(["rel", "abs"])),
    st.builds(Window, st.integers(2, 12), st.floats(0, 0.5)),
    st.builds(Trend, st.sampled_from(["relative", "progress"]), st.none() | st.floats(1e-4, 1), st.floats(0.1, 4)),
)
DETECTORS = st.recursive(SINGLE, lambda d: st.builds(Either, d, d) | st.builds(Both, d, d), max_leaves=4)
VALUES = st.floats() | st.floats(-2, 2) | st.integers(-3, 3).map(float)
SEEN = st.lists(st.tuples(VALUES, st.booleans()), max_size=40)


@given(DETECTORS)
@PROPERTY
def test_they_are_values(detector):
    names = {c.__name__: c for c in (Patience, Window, Trend)}
    for same in (eval(repr(detector), names), pickle.loads(pickle.dumps(detector)), copy.deepcopy(detector)):
        assert same == detector
        assert hash(same) == hash(detector)
        assert repr(same) == repr(detector)
    assert detector != Patience(99)
    with pytest.raises(AttributeError, match="immutable"):
        detector.patience = 5


def test_their_repr_is_the_call():
    assert repr(Patience(3)) == "Patience(3)"
    assert repr(Patience()) == "Patience()"
    assert repr(Patience(3, 0.1, "abs")) == "Patience(3, threshold=0.1, threshold_mode='abs')"
    assert repr(Window(5, 0.1)) == "Window(5, threshold=0.1)"
    assert repr(Trend("relative", 0.1)) == "Trend('relative', c=0.1)"
    assert repr(Patience(3) | Trend() & Window()) == "(Patience(3) | (Trend() & Window()))"
    assert Patience(3) != Patience(4)
    assert Patience(3) | Window() != Patience(3) & Window()
    assert Patience(3) | Window() != Window() | Patience(3)
    assert len({Patience(3), Patience(3), Window(3), Patience(3) | Window(3)}) == 3


@given(DETECTORS, SEEN, SEEN)
@PROPERTY
def test_a_state_that_went_through_json_has_the_same_future(detector, past, future):
    state = detector.init()
    for value, counts in past:
        state, _ = detector.update(state, value, counts)
    again = tuples(json.loads(json.dumps(lists(state))))
    assert again == state
    for value, counts in future:
        (state, fired), (again, also) = detector.update(state, value, counts), detector.update(again, value, counts)
        assert (again, also) == (state, fired)
    assert detector.after_action(again) == detector.after_action(state)


@given(DETECTORS, SEEN)
@PROPERTY
def test_none_fires_where_nothing_counts(detector, seen):
    state = detector.init()
    for value, counts in seen:
        state, fired = detector.update(state, value, counts)
        assert fired in (False, True)
        assert counts or not fired


@given(DETECTORS, SEEN)
@PROPERTY
def test_updating_is_pure_and_leaves_the_state_it_was_given_alone(detector, seen):
    state = detector.init()
    for value, counts in seen:
        before = copy.deepcopy(state)
        after = detector.update(state, value, counts)
        assert state == before
        assert detector.update(state, value, counts) == after
        state = after[0]


@pytest.mark.parametrize(
    ("detector", "most"),
    [
        (Patience(3), 2),
        (Window(10), 10),
        (Trend(), 1 + 5 + 61),
        (Trend("progress"), 1 + 5 + 61),
        ((Patience(3) | Window(7)) & Trend(), 2 + 7 + 1 + 5 + 61),
    ],
    ids=repr,
)
def test_a_state_never_grows_beyond_its_bound(detector, most):
    def size(state):
        return sum(map(size, state)) if isinstance(state, tuple) else 1

    r, state, largest = random.Random(0), detector.init(), 0
    for i in range(5000):
        state, _ = detector.update(state, r.choice([r.gauss(0, 1), NAN]) if i % 7 else INF, bool(i % 5))
        largest = max(largest, size(state))
    assert largest == most


def test_a_pair_takes_only_detectors_and_stays_a_value():
    with pytest.raises(ValueError, match=r"^Either: b must be a detector such as Patience\(10\), got 5"):
        Patience(1) | 5
    with pytest.raises(ValueError, match=r"^Both: b must be a detector such as Patience\(10\), got None"):
        Patience(1) & None


def test_trend_on_a_metric_that_was_never_finite_fires_and_a_first_finite_value_begins_anew():
    detector = Trend()
    state, fired = detector.init(), []
    for _ in range(10):
        state, now = detector.update(state, math.nan)
        fired.append(now)
    assert fired.index(True) == 7
    state, now = detector.update(state, 1.0)
    assert (state[0], now) == (1, False)
