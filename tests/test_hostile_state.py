"""A saved state that is broken, newer, older or no state at all: used exactly, or refused by name; weights are kept.

``earlier_states.jsonl`` was written by the earlier versions themselves: a state after 10 or 12 of 24 updates of
``Warmup(2) >> Linear()`` with two rules, and the lrs that followed.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import Callback
from runs import Net, Used, trainer, used
from test_pains import Gan, SaveEveryStep

import lightning_lr.core.history as module
from lightning_lr import (
    Cooldown,
    Cosine,
    Detector,
    Freeze,
    Linear,
    LRController,
    LRFinder,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    Patience,
    Reduce,
    Restart,
    Rule,
    ScheduledLR,
    Track,
    Trend,
    Warmup,
    Window,
)
from lightning_lr.core.state import sums

EARLIER = [json.loads(line) for line in Path(__file__).with_name("earlier_states.jsonl").read_text().splitlines()]
SAVED_AT, END = 20, 36
MAIN_FIELDS = ["lightning_lr", "optimizer", "started", "updates", "tracks", "run_horizon"]


# ---- a run with everything in its state: rules, events, some of them folded, tracks, a cooldown, a stretch


def build(total: int = END, **options: Any) -> tuple[torch.optim.Optimizer, ScheduledLR]:
    body, head = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    body.grad, head.grad = torch.ones(1), torch.ones(1)
    groups = [{"params": [body], "name": "body"}, {"params": [head], "name": "head", "lr": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    rules = [
        Rule(Patience(1), Reduce(0.5), "loss", cooldown=1),
        Rule(Trend() | Window(9), Restart(0.5), "loss"),
        Rule(Patience(3), Freeze(1, max_freezes=2), "loss", mode="max", active_from=6),
    ]
    tracks = [
        Track(Cosine(), groups="head"),
        Track(Linear(end_factor=0.5), key="momentum"),
        Track(Linear(), key="weight_decay", groups="head", rules=[Rule(Patience(2), Reduce(0.9), "loss")]),
    ]
    optimizer.param_groups[1]["weight_decay"] = 0.01
    return optimizer, ScheduledLR(
        optimizer, Warmup(2) >> Linear(), rules=rules, tracks=tracks, total_steps=total, **options
    )


def ahead(optimizer: torch.optim.Optimizer, scheduler: ScheduledLR, stop: int = END) -> list[Any]:
    """What every coming update uses of every group, while the rules decide."""
    out = []
    for t in range(scheduler.updates, stop):
        groups = optimizer.param_groups
        out.append([(group["lr"], group["momentum"], group["weight_decay"]) for group in groups])
        optimizer.step()
        scheduler.evaluate({"loss": 1.0 + 0.01 * (t % 3)})
    return out


@functools.cache
def saved() -> tuple[bytes, bytes, list[Any]]:
    """The optimizer's state and ours, and what comes after."""
    limit, module.MAX_EVENTS = module.MAX_EVENTS, 4
    try:
        optimizer, scheduler = build(30)
        ahead(optimizer, scheduler, 12)
        states = optimizer.state_dict(), scheduler.state_dict()
        optimizer, scheduler = build(on_horizon_change="stretch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the run is longer
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        ahead(optimizer, scheduler, 16)
        scheduler.apply(Cooldown(14), groups="head")
        ahead(optimizer, scheduler, SAVED_AT)
        states = optimizer.state_dict(), scheduler.state_dict()
        kept = pickle.dumps(states[0]), pickle.dumps(states[1])
        return *kept, ahead(optimizer, scheduler)
    finally:
        module.MAX_EVENTS = limit


def our_state() -> dict[str, Any]:
    state: dict[str, Any] = pickle.loads(saved()[1])
    return state


def resume(state: Any, **options: Any) -> list[Any]:
    optimizer, scheduler = build(on_horizon_change="stretch", **options)
    optimizer.load_state_dict(pickle.loads(saved()[0]))
    scheduler.load_state_dict(state)
    return ahead(optimizer, scheduler)


def test_the_state_that_is_broken_below_has_everything_in_it() -> None:
    state = our_state()
    assert list(state) == [*MAIN_FIELDS, "checked_at", "groups", "events", "folded", "sums"]
    assert list(state["tracks"]) == ["lr", "lr[head]", "momentum", "momentum@lr[head]", "weight_decay[head]"]
    tracks = state["tracks"].values()
    assert any(track[5] for track in tracks)
    assert any(track[6] for track in tracks)
    assert any(track[1] is None for track in tracks)
    assert {rule[0].split("(")[0] for track in tracks for rule in track[3].values()} == {"Patience", "Patience:max",
                                                                                         "Either"}  # fmt: skip
    assert {"reduce", "cooldown"} <= {event["kind"] for event in state["events"] + state["folded"]}
    assert resume(state) == saved()[2]
    assert resume(json.loads(json.dumps(state))) == saved()[2]


# ---- every field, broken in every way

Place = tuple[Any, ...]
BREAKS: dict[str, Any] = {
    "text": "x",
    "none": None,
    "list": [],
    "dict": {"a": 1},
    "nan": math.nan,
    "infinite": math.inf,
    "negative": -1,
    "zero": 0,
    "huge": 10**30,
    "tiny": 1e-30,
    "true": True,
    "object": object(),
}


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every path in a nested state."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


def broken(state: dict[str, Any], place: Place, value: Any = None, *, delete: bool = False) -> dict[str, Any]:
    out = copy.deepcopy(state)
    inner: Any = out
    for key in place[:-1]:
        inner = inner[key]
    if delete:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return out


Loaded = tuple[torch.optim.Optimizer, ScheduledLR]


def loaded() -> Loaded:
    """A new run whose optimizer has its state again, and whose schedule has not."""
    optimizer, scheduler = build(on_horizon_change="stretch")
    optimizer.load_state_dict(pickle.loads(saved()[0]))
    return optimizer, scheduler


def refusal(state: Any, run: Loaded) -> str:
    """The words with which a state is refused, if it is; and then without a trace."""
    optimizer, scheduler = run
    before = pickle.dumps((scheduler.state_dict(), optimizer.param_groups))
    try:
        scheduler.load_state_dict(state)
    except ValueError as error:
        words = str(error)
    else:
        return ""
    assert pickle.dumps((scheduler.state_dict(), optimizer.param_groups)) == before
    return words


def is_refused(state: Any, field: str, run: Loaded) -> bool:
    """Whether a state is refused, with words that name the field and say how to go on."""
    words = refusal(state, run)
    if words:
        assert words.startswith("ScheduledLR: the saved state of the schedule cannot be used: "), words
        assert field in words, words
        assert "start_step=" in words
    return bool(words)


def slow_but(*fast: str) -> list[Any]:
    return [how if how in fast else pytest.param(how, marks=pytest.mark.slow) for how in ("delete", *BREAKS)]


@pytest.mark.parametrize("how", slow_but("delete", "text", "nan", "negative", "huge", "none"))
def test_every_field_broken_is_named_or_makes_no_difference(how: str) -> None:
    whole, run, refused, every = our_state(), loaded(), 0, list(places(our_state()))
    for place in every:
        if is_refused(broken(whole, place, BREAKS.get(how), delete=how == "delete"), place[0], run):
            refused += 1
        else:
            assert ahead(*run) == saved()[2], place
            run = loaded()
    assert len(every) > 250
    as_good = 80 if how in ("none", "zero", "true") else 15  # the same was there before; or it is a sum that is gone
    assert refused > len(every) - as_good


@pytest.mark.parametrize("how", slow_but("delete", "nan"))
def test_a_broken_state_of_a_version_that_wrote_no_sums_never_raises_anything_else(how: str) -> None:
    whole, run, refused = without_sums(), loaded(), 0
    for place in places(whole):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it may be another schedule's, or of another length
            state = broken(whole, place, BREAKS.get(how), delete=how == "delete")
            words = refusal(state, run)
        if words:
            assert place[0] in words or "unknown: give total_steps=" in words, (place, words)
            refused += 1
            continue
        for _ in range(SAVED_AT, END):
            run[0].step()
            assert all(math.isfinite(group["lr"]) and group["lr"] >= 0 for group in run[0].param_groups), place
        run = loaded()
    assert refused > 60


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.data())
def test_whatever_stands_in_a_field(data: Any) -> None:
    whole = our_state()
    place = data.draw(st.sampled_from(list(places(whole))))
    run = loaded()
    if not is_refused(broken(whole, place, data.draw(VALUES)), place[0], run):
        assert ahead(*run) == saved()[2]


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(VALUES | st.dictionaries(st.sampled_from([*our_state(), "else"]), VALUES))
def test_whatever_is_handed_over(state: Any) -> None:
    never_started = isinstance(state, dict) and state.get("started") is False
    try:
        _, scheduler = build()
        scheduler.load_state_dict(state)
    except ValueError as error:
        assert "the saved state of the schedule cannot be used" in str(error)  # noqa: PT017
    else:
        assert never_started
    assert scheduler.updates == 0


# ---- in which words


def without_sums() -> dict[str, Any]:
    state = our_state()
    del state["sums"]
    return state


@pytest.mark.parametrize(("value", "read"), [(10**400, math.inf), (-(10**400), -math.inf)], ids=["+", "-"])
def test_a_number_beyond_every_float_is_infinite_and_nothing_else_is_raised(value: int, read: float) -> None:
    _, scheduler = run = loaded()
    assert refusal(broken(without_sums(), ("events", 0, "value"), value), run) == ""
    assert scheduler.events[0].value == read


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((), None, r"the state must be a dict, got None \(a NoneType\)"),
        ((), [1], r"the state must be a dict, got \[1\] \(a list\)"),
        ((), {}, r"this is not a state of ScheduledLR \(its keys: none\)"),
        (("lightning_lr",), 3, "the state has format 3, this version reads up to 2: install the newer"),
        (("lightning_lr",), 0, "lightning_lr must be a whole number >= 1, got 0"),
        (("started",), "yes", r"started must be True or False, got 'yes' \(a str\)"),
        (("started",), False, "started is False, but the rest of a state that has started is there"),
        (("updates",), -3, "updates must be a whole number >= 0, got -3"),
        (("updates",), 7, r"updates is not what was written: its sum is \d+, and sums says \d+ \(if you have edited"),
        (("tracks", "lr", 1, 0), math.nan, r"tracks\['lr'\]\.control\.scale must be a number >= 0 \(finite\), got nan"),
        (("tracks", "lr", 1, 6), 0, r"tracks\['lr'\]\.control\.den must be a whole number >= 1, got 0"),
        (("tracks", "lr"), [1], r"tracks\['lr'\] must be a list of 8 \(fingerprint, control, .*horizon\), got \[1\]"),
        (("tracks", "lr", 7, 0), 0, r"tracks\['lr'\]\.horizon: Horizon: total_steps must be a whole .* >= 1, got 0"),
        (("tracks", "lr[head]", 5, 0), "lin", r"tracks\['lr\[head\]'\]\.finish\.shape .*did you mean 'linear'\?"),
        (("tracks", "lr", 3, "reduce:loss:validation", 2), 1.5, r"\['reduce:loss:validation'\]\.cooldown must be a"),
        (("events", 1, "step"), "4", r"events\[1\]\.step must be a whole number >= 0, got '4' \(a str\)"),
        (("events", 0, "finish"), [1], r"events\[0\]\.finish must be a list of 2 \(shape, length\), got \[1\]"),
        (("run_horizon",), {}, r"run_horizon must be a list, got \{\} \(a dict\)"),
        (("sums",), 5, r"sums must be a dict, got 5"),
    ],
)  # fmt: skip
def test_the_message_says_which_field_what_was_found_and_what_it_must_be(place: Place, value: Any, words: str) -> None:
    state = broken(our_state(), place, value) if place else value
    with pytest.raises(ValueError, match=f"cannot be used: .*{words}.* say how many updates .* start_step="):
        resume(state)


@pytest.mark.parametrize(
    "field", ["lightning_lr", "optimizer", "started", "updates", "tracks", "run_horizon", "events"]
)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be used: {field} is missing"):
        resume(broken(our_state(), (field,), delete=True))


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        ([None], r"such as its first one, \(None, 0\); got \[None\]"),
        ([1.0, "two"], r"such as its first one, \(None, 0\); got \[1\.0, 'two'\]"),
        ([math.nan, 1], r"must be a state of Patience\(1\).*got \[nan, 1\]"),
        (["a", 0], r"must be a state of Patience\(1\)"),
    ],
)
def test_what_a_detector_remembers_is_compared_with_its_own_beginning(detector: Any, words: str) -> None:
    place = ("tracks", "lr", 3, "reduce:loss:validation", 1)
    with pytest.raises(ValueError, match=rf"rules\['reduce:loss:validation'\]\.detector .*{words}"):
        resume(broken(without_sums(), place, detector))


class Third(Detector):
    """A detector of a user's own: every third evaluation; it keeps whatever it has seen last, a NaN too."""

    __slots__ = ()

    def init(self) -> tuple[Any, ...]:
        return (None, 0)

    def update(self, state: tuple[Any, ...], value: float, counts: bool = True) -> tuple[tuple[Any, ...], bool]:
        return (value, state[1] + 1), (state[1] + 1) % 3 == 0

    def after_action(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return state

    def because(self, state: tuple[Any, ...]) -> str:
        return "the third"


def test_a_detector_of_ones_own_may_remember_what_it_likes() -> None:
    def make() -> tuple[torch.optim.Optimizer, ScheduledLR]:
        weight = torch.nn.Parameter(torch.ones(1))
        weight.grad = torch.ones(1)
        optimizer = torch.optim.SGD([weight], lr=1.0)
        return optimizer, ScheduledLR(optimizer, None, rules=[Rule(Third(), Reduce(0.5), "loss")])

    optimizer, scheduler = make()
    for loss in (1.0, math.nan):
        scheduler.evaluate({"loss": loss})
    state = scheduler.state_dict()
    optimizer, scheduler = make()
    scheduler.load_state_dict(state)
    scheduler.evaluate({"loss": 1.0})
    assert optimizer.param_groups[0]["lr"] == 0.5


# ---- what is ignored, and what is older


def test_fields_of_a_later_version_of_the_same_format_are_ignored() -> None:
    state = our_state()
    state["weather"] = {"sunny": [1, None]}
    state["sums"]["weather"] = 5
    assert resume(state) == saved()[2]
    state["events"][0]["mood"] = "good"
    with pytest.raises(ValueError, match="events is not what was written"):
        resume(state)
    assert resume({**state, "sums": sums(state)}) == saved()[2]


def test_a_state_that_was_edited_by_hand_is_taken_without_its_sums() -> None:
    state = broken(without_sums(), ("tracks", "lr", 1, 0), 0.0)
    assert resume(state)[0][0][0] == 0.0


@pytest.mark.parametrize("earlier", EARLIER, ids=[earlier["what"] for earlier in EARLIER])
def test_a_state_of_every_earlier_version_goes_on_as_it_did_then(earlier: dict[str, Any]) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.5)
    rules = [
        Rule(Patience(1), Reduce(0.5), "val_loss", cooldown=1),
        Rule(Trend() | Patience(4), Restart(0.5), "val_loss"),
    ]
    scheduler = ScheduledLR(optimizer, Warmup(2) >> Linear(), rules=rules, total_steps=24)
    scheduler.load_state_dict(earlier["state"])
    assert "sums" not in earlier["state"]
    lrs = []
    for t in range(scheduler.updates, 24):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.evaluate({"val_loss": 1.0 + 0.01 * (t % 3)})
    assert lrs == earlier["lrs"]
    assert scheduler.state_dict()["lightning_lr"] == 2


@pytest.mark.parametrize("earlier", EARLIER[1:5:3], ids=[earlier["what"] for earlier in EARLIER[1:5:3]])
def test_a_broken_state_of_the_first_format_is_named_too(earlier: dict[str, Any]) -> None:
    refused = 0
    for place in places(earlier["state"]):
        field = {"program_horizon": "horizon"}.get(place[0], place[0])
        for how in ("delete", "dict", "nan", "negative"):
            state = broken(earlier["state"], place, BREAKS.get(how), delete=how == "delete")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                refused += is_refused(state, field, loaded())
    assert refused > 200


# ---- nothing is half-loaded


def test_a_refusal_for_another_reason_leaves_the_scheduler_as_it_was_too() -> None:
    optimizer, scheduler = build(31, on_horizon_change="error", start_step=3)
    before = pickle.dumps((scheduler.state_dict(), optimizer.param_groups))
    with pytest.raises(ValueError, match="the run's length has changed from 36 updates to 31 updates"):
        scheduler.load_state_dict(our_state())
    assert pickle.dumps((scheduler.state_dict(), optimizer.param_groups)) == before
    assert not scheduler.resumed


# ---- on without it: start_step=


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: broken(our_state(), ("updates",), math.nan), "updates must be a whole number >= 0, got nan"),
        (lambda: {**our_state(), "lightning_lr": 99}, "the state has format 99, this version reads up to 2"),
        (lambda: None, "the state must be a dict"),
        (lambda: {"last_epoch": 4, "lr_lambdas": []}, "not a state of ScheduledLR"),
    ],
)
def test_with_start_step_a_plain_loop_drops_what_is_broken_and_says_so(state: Any, words: str) -> None:
    optimizer, scheduler = build(start_step=SAVED_AT)
    optimizer.load_state_dict(pickle.loads(saved()[0]))
    planned = [1.0 - (t - 2) / (END - 2) for t in range(SAVED_AT, END)]
    with pytest.warns(UserWarning, match=f"{words}.* dropped: the schedule goes on at update 20 .start_step.") as told:
        scheduler.load_state_dict(state())
    assert len(told) == 1
    assert [scheduler.factor_at(t) for t in range(SAVED_AT, END)] == pytest.approx(planned)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(planned[0])


def test_a_sound_state_wins_over_start_step() -> None:
    assert resume(our_state(), start_step=3) == saved()[2]


def test_a_plain_loop_may_take_the_state_of_any_optimizer() -> None:
    state = our_state()
    state["optimizer"] = 1
    assert resume({**state, "sums": sums(state)}) == saved()[2]


# ---- within Lightning


def wishes(**options: Any) -> list[Callback]:
    return [LRMultiPhaseDecay(Linear(16)), LRPlateauReduction("val_loss", factor=0.5, patience=0, **options)]


class Weighed(Net):
    """Remembers the weights with which its first update was made."""

    first: Any = None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.first is None:
            self.first = {name: value.clone() for name, value in self.state_dict().items()}
        return super().training_step(batch, batch_idx)


def fit(root: Path, callbacks: list[Callback], ckpt: Path | None = None) -> tuple[Weighed, list[float]]:
    net, watch = Weighed(metric=lambda n: 1.0), Used()
    trainer(root, [*callbacks, watch], max_epochs=4, limit_val_batches=1).fit(net, ckpt_path=ckpt)
    return net, watch.lrs


BROKEN_FILES = {
    "no dict": (lambda state: 5, r"the state must be a dict, got 5"),
    "missing": (lambda state: broken(state, ("updates",), delete=True), "updates is missing"),
    "wrong type": (lambda state: broken(state, ("tracks",), []), r"tracks must be a dict, got \[\]"),
    "nan": (lambda state: broken(state, ("tracks", "lr", 1, 0), math.nan), r"tracks\['lr'\]\.control\.scale must be"),
    "another": (lambda state: broken(state, ("updates",), 3), "updates is not what was written"),
    "newer": (lambda state: {**state, "lightning_lr": 3}, "the state has format 3, this version reads up to 2"),
}


@pytest.mark.parametrize("how", BROKEN_FILES)
def test_a_checkpoint_with_a_broken_state_is_refused_before_training_and_goes_on_with_start_step(
    tmp_path: Path, how: str
) -> None:
    ruin, words = BROKEN_FILES[how]
    fit(tmp_path, [*wishes(), SaveEveryStep()])
    ckpt = tmp_path / "step10.ckpt"
    content = torch.load(ckpt, weights_only=True)
    assert content["lr_schedulers"][0]["tracks"]["lr"][1][0] == 0.5
    content["lr_schedulers"][0] = ruin(content["lr_schedulers"][0])
    torch.save(content, ckpt)
    written = ckpt.read_bytes()

    untrained = Weighed(metric=lambda n: 1.0)
    with pytest.raises(
        ValueError, match=f"^LRMultiPhaseDecay \\+ LRPlateauReduction: the saved state .*{words}.* start_step="
    ):
        trainer(tmp_path, wishes(), max_epochs=4, limit_val_batches=1).fit(untrained, ckpt_path=ckpt)
    assert untrained.first is None

    with pytest.warns(UserWarning, match=f"^LRMultiPhaseDecay .*{words}.* dropped: the schedule goes on at update 10"):
        net, lrs = fit(tmp_path, wishes(start_step=10), ckpt)
    assert lrs[:2] == [1 - 10 / 16, 1 - 11 / 16]  # as planned, from the peak that the optimizer's own state has kept
    for name, value in content["state_dict"].items():
        assert torch.equal(net.first[name], value)
    assert ckpt.read_bytes() == written


def test_a_sound_checkpoint_wins_over_start_step(tmp_path: Path) -> None:
    _, whole = fit(tmp_path, [*wishes(), SaveEveryStep()])
    assert fit(tmp_path, wishes(start_step=2), tmp_path / "step10.ckpt")[1] == whole[10:]


def test_a_crash_before_training_starts_saves_a_broken_state_as_it_was(tmp_path: Path) -> None:
    class Crashing(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "crash.ckpt")
            raise RuntimeError("before the schedule started")

    used(tmp_path, [LRMultiPhaseDecay(Linear()), SaveEveryStep()])
    content = torch.load(tmp_path / "step4.ckpt", weights_only=True)
    content["lr_schedulers"][0]["updates"] = "four"
    torch.save(content, tmp_path / "broken.ckpt")
    with pytest.raises(RuntimeError, match="before the schedule"):
        used(tmp_path, [Crashing(), LRMultiPhaseDecay(Linear())], ckpt_path=tmp_path / "broken.ckpt")
    again = torch.load(tmp_path / "crash.ckpt", weights_only=True)
    assert again["lr_schedulers"] == content["lr_schedulers"]


@pytest.mark.parametrize("state", [{"lrs": []}, {"lrs": [], "losses": [], "suggestions": 5}, {"suggestions": [1] * 9}])
def test_a_broken_state_of_a_finder_is_named(state: Any) -> None:
    with pytest.raises(ValueError, match="LRFinder: its own state in the checkpoint is broken"):
        LRFinder().load_state_dict(state)


def test_a_file_in_which_only_one_optimizers_state_is_broken(tmp_path: Path) -> None:
    whole = Gan()
    trainer(tmp_path, [LRController(Linear(40)), SaveEveryStep()], max_epochs=2).fit(whole)
    content = torch.load(tmp_path / "step12.ckpt", weights_only=True)
    content["lr_schedulers"][1]["tracks"]["lr"][2] = math.nan
    torch.save(content, tmp_path / "broken.ckpt")
    resumed = Gan()
    with pytest.warns(UserWarning, match=r"LRController: .*tracks\['lr'\]\.factor must be .*at update 4 .start_step."):
        trainer(tmp_path, [LRController(Linear(40), start_step=4)], max_epochs=2).fit(
            resumed, ckpt_path=tmp_path / "broken.ckpt"
        )
    assert resumed.seen["g"] == whole.seen["g"][8:]  # its own state is sound
    assert resumed.seen["d"] == whole.seen["d"][4:]
