"""``param_groups``: every trainable parameter once, at the lr and the weight decay that were asked for."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import Net, Used, trainer
from torch import nn

from lightning_lr import (
    Constant,
    Linear,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRWarmup,
    Patience,
    Reduce,
    Rule,
    ScheduledLR,
    Warmup,
    param_groups,
)
from lightning_lr.reporting.names import group_names


def block() -> nn.Module:
    return nn.Sequential(OrderedDict(norm=nn.LayerNorm(4), linear=nn.Linear(4, 4)))


class Transformer(nn.Module):
    """Embeddings, three blocks, a norm and a head, as they are everywhere."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.tok, self.pos = nn.Embedding(10, 4), nn.Embedding(6, 4)
        self.blocks = nn.Sequential(*[block() for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 10)


LAYERS = ["tok|pos", r"blocks\.0\.", r"blocks\.1\.", r"blocks\.2\.", "norm|head"]
NUMBERED = r"blocks\.(\d+)\."


def table(groups: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(group["name"], group["lr"], group.get("weight_decay")) for group in groups]


def names_in(groups: list[dict[str, Any]], module: nn.Module) -> dict[str, list[str]]:
    """The names of the parameters in every group."""
    name_of = {id(parameter): name for name, parameter in module.named_parameters()}
    return {group["name"]: [name_of[id(parameter)] for parameter in group["params"]] for group in groups}


def every_once(groups: list[dict[str, Any]], module: nn.Module) -> bool:
    found = [id(parameter) for group in groups for parameter in group["params"]]
    return sorted(found) == sorted(id(p) for p in module.parameters() if p.requires_grad) and all(
        group["params"] for group in groups
    )


# ---- weight decay ---------------------------------------------------------------------------------------------------


def test_norms_and_biases_do_not_decay_and_embeddings_do() -> None:
    net = Transformer(1)
    groups = param_groups(net, 0.1, weight_decay=0.5)
    assert table(groups) == [("base", 0.1, 0.5), ("base-no_decay", 0.1, 0.0)]
    assert names_in(groups, net) == {
        "base": ["tok.weight", "pos.weight", "blocks.0.linear.weight", "head.weight"],
        "base-no_decay": [
            "blocks.0.norm.weight", "blocks.0.norm.bias", "blocks.0.linear.bias", "norm.weight", "norm.bias",
            "head.bias",
        ],
    }  # fmt: skip


def test_without_a_weight_decay_the_optimizers_own_applies_where_there_is_one() -> None:
    groups = param_groups(Transformer(), 0.1)
    assert table(groups) == [("base", 0.1, None), ("base-no_decay", 0.1, 0.0)]
    assert [g["weight_decay"] for g in torch.optim.AdamW(groups, weight_decay=0.3).param_groups] == [0.3, 0.0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"weight_decay": 0.0}, [("base", 0.1, 0.0)]),  # nothing decays: one group
        ({"weight_decay": 0.5, "no_weight_decay": False}, [("base", 0.1, 0.5)]),
        ({"no_weight_decay": False}, [("base", 0.1, None)]),
    ],
)
def test_groups_with_equal_settings_are_one(settings: dict[str, Any], expected: list[Any]) -> None:
    net = Transformer()
    groups = param_groups(net, 0.1, **settings)
    assert table(groups) == expected
    assert every_once(groups, net)


@pytest.mark.parametrize("extra", ["tok|pos", ["tok", "pos"], {"tok", r"pos\.weight"}])
def test_no_weight_decay_patterns_add_to_norms_and_biases(extra: Any) -> None:
    net = Transformer(1)
    found = names_in(param_groups(net, 0.1, weight_decay=0.5, no_weight_decay=extra), net)
    assert found["base"] == ["blocks.0.linear.weight", "head.weight"]
    assert {"tok.weight", "pos.weight", "norm.weight", "head.bias"} <= set(found["base-no_decay"])


def test_a_norm_over_an_image_a_scale_and_a_bias_of_two_dimensions_do_not_decay() -> None:
    net = nn.Sequential(nn.LayerNorm((2, 3, 3)), nn.GroupNorm(1, 2), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
    net.register_parameter("position_bias", nn.Parameter(torch.zeros(3, 3)))
    net.register_parameter("scale", nn.Parameter(torch.ones(2)))
    net.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)))
    assert names_in(param_groups(net, 0.1, weight_decay=0.5), net)["base"] == ["3.weight"]


# ---- layer-wise decay -----------------------------------------------------------------------------------------------


def test_listed_layers_have_their_power_of_the_decay() -> None:
    net = Transformer()
    groups = param_groups(net, 1.6, no_weight_decay=False, layers=LAYERS, layer_decay=0.5)
    assert table(groups) == [
        ("tok+pos", 0.1, None),
        ("blocks.0", 0.2, None),
        ("blocks.1", 0.4, None),
        ("blocks.2", 0.8, None),
        ("norm+head", 1.6, None),
    ]
    assert every_once(groups, net)


def test_a_numbered_pattern_puts_input_and_output_around_its_layers() -> None:
    net = Transformer()
    groups = param_groups(net, 1.6, weight_decay=0.5, layers=NUMBERED, layer_decay=0.5)
    assert table(groups) == [
        ("input", 0.1, 0.5),
        ("blocks.0", 0.2, 0.5),
        ("blocks.0-no_decay", 0.2, 0.0),
        ("blocks.1", 0.4, 0.5),
        ("blocks.1-no_decay", 0.4, 0.0),
        ("blocks.2", 0.8, 0.5),
        ("blocks.2-no_decay", 0.8, 0.0),
        ("output", 1.6, 0.5),
        ("output-no_decay", 1.6, 0.0),
    ]
    found = names_in(groups, net)
    assert found["input"] == ["tok.weight", "pos.weight"]
    assert found["output"] + found["output-no_decay"] == ["head.weight", "norm.weight", "norm.bias", "head.bias"]
    assert every_once(groups, net)


def test_layers_are_ordered_by_number_not_by_text_and_gaps_are_no_layers() -> None:
    net = nn.Sequential(*[nn.Linear(1, 1) if i % 5 == 0 else nn.ReLU() for i in range(16)])
    groups = param_groups(net, 8.0, no_weight_decay=False, layers=r"(\d+)", layer_decay=0.5)
    assert table(groups) == [("0", 1.0, None), ("5", 2.0, None), ("10", 4.0, None), ("15", 8.0, None)]


@pytest.mark.parametrize("layers", [r"(\d+)", ["0", "1", "2"]])
def test_layers_go_from_input_to_output_in_whatever_order_the_module_has_them(layers: Any) -> None:
    net = nn.Module()
    for name in "201":
        net.add_module(name, nn.Linear(1, 1))
    groups = param_groups(net, 1.0, no_weight_decay=False, layers=layers, layer_decay=0.5)
    assert [(g["name"], g["lr"]) for g in groups] == [("0", 0.25), ("1", 0.5), ("2", 1.0)]


def test_two_numbers_order_stages_and_their_blocks() -> None:
    stage = lambda: nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    net = nn.Sequential(OrderedDict(stem=nn.Linear(1, 1), stages=nn.Sequential(stage(), stage())))
    groups = param_groups(net, 16.0, no_weight_decay=False, layers=r"stages\.(\d+)\.(\d+)", layer_decay=0.5)
    assert [(g["name"], g["lr"]) for g in groups] == [
        ("input", 1.0), ("stages.0.0", 2.0), ("stages.0.1", 4.0), ("stages.1.0", 8.0), ("stages.1.1", 16.0),
    ]  # fmt: skip


def test_discriminative_fine_tuning_as_published() -> None:
    net = nn.Sequential(*[nn.Linear(1, 1) for _ in range(4)])
    groups = param_groups(net, 0.01, no_weight_decay=False, layers=r"(\d+)", layer_decay=1 / 2.6)
    assert [g["lr"] for g in groups] == pytest.approx([0.01 / 2.6**3, 0.01 / 2.6**2, 0.01 / 2.6, 0.01], rel=1e-12)


def test_without_decay_the_layers_still_have_groups_of_their_own() -> None:
    groups = param_groups(Transformer(2), 0.1, no_weight_decay=False, layers=NUMBERED)
    assert [(g["name"], g["lr"]) for g in groups] == [
        ("input", 0.1), ("blocks.0", 0.1), ("blocks.1", 0.1), ("output", 0.1),
    ]  # fmt: skip


# ---- factors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["blocks", r"blocks\.", r"blocks\..*", "bl.cks"])
def test_a_pattern_is_about_a_whole_name_of_a_parameter_or_module(pattern: str) -> None:
    net = nn.Sequential(OrderedDict(blocks=nn.Linear(1, 1), blocks_head=nn.Linear(1, 1)))
    groups = param_groups(net, 1.0, no_weight_decay=False, lr_factors={pattern: 0.25})
    assert [group["lr"] for group in groups] == [0.25, 1.0]
    assert list(names_in(groups, net).values()) == [
        ["blocks.weight", "blocks.bias"], ["blocks_head.weight", "blocks_head.bias"],
    ]  # fmt: skip


def test_blocks_1_is_not_blocks_10() -> None:
    net = Transformer(11)
    groups = param_groups(net, 1.0, no_weight_decay=False, lr_factors={"blocks.1": 0.5, r"blocks\.10\.linear": 2.0})
    assert {name: len(found) for name, found in names_in(groups, net).items()} == {
        "base": 6 + 9 * 4 + 2, "blocks.1": 4, "blocks.10.linear": 2,
    }  # fmt: skip
    assert [group["lr"] for group in groups] == [1.0, 0.5, 2.0]


def test_all_three_wishes_multiply() -> None:
    net = Transformer(2)
    groups = param_groups(
        net, 0.8, weight_decay=0.5, layers=NUMBERED, layer_decay=0.5, lr_factors={r".*\.linear": 10.0, "head": 0.25}
    )
    assert table(groups) == [
        ("input", 0.1, 0.5),
        ("blocks.0-no_decay", 0.2, 0.0),
        ("blocks.0-linear", 2.0, 0.5),
        ("blocks.0-linear-no_decay", 2.0, 0.0),
        ("blocks.1-no_decay", 0.4, 0.0),
        ("blocks.1-linear", 4.0, 0.5),
        ("blocks.1-linear-no_decay", 4.0, 0.0),
        ("output-no_decay", 0.8, 0.0),
        ("output-head", 0.2, 0.5),
        ("output-head-no_decay", 0.2, 0.0),
    ]
    assert every_once(groups, net)


def test_patterns_that_read_the_same_get_names_of_their_own() -> None:
    net = nn.Sequential(OrderedDict(a=nn.Linear(1, 1), ab=nn.Linear(1, 1)))
    groups = param_groups(net, 1.0, lr_factors={"a": 0.5, r"a\w": 2.0})
    assert [(g["name"], g["lr"]) for g in groups] == [
        ("a", 0.5), ("a-no_decay", 0.5), ("a-1", 2.0), ("a-1-no_decay", 2.0),
    ]  # fmt: skip


# ---- which parameters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"layers": NUMBERED, "layer_decay": 0.5}, {"lr_factors": {"tok": 0.5}}])
def test_tied_parameters_are_there_once_under_their_first_name(settings: dict[str, Any]) -> None:
    net = Transformer(2)
    net.head.weight = net.tok.weight
    groups = param_groups(net, 1.0, **settings)
    assert every_once(groups, net)
    torch.optim.AdamW(groups)  # which warns of a parameter that is in a group twice, and refuses one in two


def test_freezing_leaves_the_frozen_out_and_every_other_lr_as_it_was() -> None:
    net = Transformer()
    settings: dict[str, Any] = {"no_weight_decay": False, "layers": NUMBERED, "layer_decay": 0.5}
    lrs = {group["name"]: group["lr"] for group in param_groups(net, 1.6, **settings)}
    net.blocks[1].requires_grad_(False)
    net.head.requires_grad_(False)
    net.norm.requires_grad_(False)
    groups = param_groups(net, 1.6, **settings)
    assert [group["name"] for group in groups] == ["input", "blocks.0", "blocks.2"]
    assert all(group["lr"] == lrs[group["name"]] for group in groups)
    assert every_once(groups, net)


def test_a_compiled_module_has_the_names_it_was_written_with() -> None:
    net = nn.Module()
    net.body = torch.compile(Transformer(2), backend="eager")
    settings: dict[str, Any] = {"layers": r"body\.blocks\.(\d+)", "layer_decay": 0.5}
    compiled = param_groups(net, 1.0, **settings)
    net.body = net.body._orig_mod
    assert table(compiled) == table(param_groups(net, 1.0, **settings))


@pytest.mark.parametrize("settings", [{}, {"layers": NUMBERED, "layer_decay": 0.9, "lr_factors": {".*norm": 0.5}}])
def test_the_groups_are_the_same_every_time(settings: dict[str, Any]) -> None:
    net = Transformer(12)
    first, second = (param_groups(net, 1.0, weight_decay=0.1, **settings) for _ in range(2))
    assert table(first) == table(second)
    assert list(names_in(first, net).items()) == list(names_in(second, net).items())
    assert len({group["name"] for group in first}) == len(first)


# ---- with optimizers, our scheduler and Lightning -------------------------------------------------------------------

OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_the_groups(name: str) -> None:
    net = nn.Sequential(*[nn.Linear(3, 3, bias=False) for _ in range(2)])  # Muon takes matrices only
    settings: dict[str, Any] = {} if name == "LBFGS" else {"layers": r"(\d+)", "layer_decay": 0.5}  # it takes one group
    optimizer = getattr(torch.optim, name)(param_groups(net, 0.125, **settings))
    loss = net(torch.ones(1, 3)).square().mean()
    loss.backward()
    if name == "SparseAdam":
        for parameter in net.parameters():
            parameter.grad = parameter.grad.to_sparse()
    optimizer.step(lambda: loss)
    assert [group["lr"] for group in optimizer.param_groups] == ([0.0625, 0.125] if settings else [0.125])


def test_ratios_survive_warmup_decay_and_reduction() -> None:
    net = Transformer(2)
    optimizer = torch.optim.AdamW(param_groups(net, 0.8, layers=NUMBERED, layer_decay=0.5))
    scheduler = ScheduledLR(
        optimizer, Warmup(2) >> Constant(2) >> Linear(4), rules=[Rule(Patience(0), Reduce(0.5), "loss")]
    )
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    seen = []
    for step in range(8):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if step in (3, 4):  # the first value is the best, the second one is not better
            scheduler.evaluate({"loss": 1.0})
    factors = [0.5, 1.0, 1.0, 1.0, 1.0, 0.375, 0.25, 0.125]
    peaks = [0.1, 0.2, 0.2, 0.4, 0.4, 0.8, 0.8]  # input decays only; then both kinds of each
    assert seen == [pytest.approx([factor * peak for peak in peaks], rel=1e-12) for factor in factors]


def test_names_are_those_of_the_curves() -> None:
    groups = param_groups(Transformer(1), 1.0, layers=NUMBERED, lr_factors={"tok|pos": 0.5, r".*\.nor[m]+": 2.0})
    assert group_names("AdamW", groups) == [f"AdamW/{group['name']}" for group in groups]
    assert [group["name"] for group in groups] == [
        "input-tok+pos", "blocks.0-norm-no_decay", "blocks.0", "blocks.0-no_decay", "output", "output-no_decay",
    ]  # fmt: skip


def layered(net: Any) -> torch.optim.Optimizer:
    net.layer = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    return torch.optim.AdamW(param_groups(net, 0.5, layers=r"layer\.(\d+)", layer_decay=0.5))


def test_a_lightning_module_is_trained_with_them_and_every_group_is_a_curve(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watch = Used()
    net = Net(optimizer=layered, metric=lambda i: 1.0)
    trainer(
        tmp_path,
        [LRWarmup(2), LRMultiPhaseDecay([Constant()]), LRPlateauReduction("val_loss", factor=0.5, patience=0), watch],
        max_epochs=3,
        limit_val_batches=1,
        logger=TensorBoardLogger(tmp_path, "logs", ""),
        log_every_n_steps=1,
    ).fit(net)
    factors = [0.5] + [1.0] * 7 + [0.5] * 4
    assert watch.groups == [[0.25 * f, 0.25 * f, 0.5 * f, 0.5 * f] for f in factors]
    logged = EventAccumulator(str(tmp_path / "logs"), size_guidance={"scalars": 0})
    logged.Reload()
    for i, name in enumerate(["layer.0", "layer.0-no_decay", "layer.1", "layer.1-no_decay"]):
        points = logged.Scalars(f"lr/AdamW/{name}")
        assert [(point.step, point.value) for point in points] == list(enumerate(row[i] for row in watch.groups))


# ---- what is refused ------------------------------------------------------------------------------------------------


def tied() -> nn.Module:
    net = nn.Sequential(OrderedDict(embed=nn.Linear(2, 2, bias=False), head=nn.Linear(2, 2, bias=False)))
    net.head.weight = net.embed.weight
    return net


def with_a_norm_between() -> nn.Module:
    net = nn.Module()
    net.blocks = nn.Module()
    for i in range(2):
        net.blocks.add_module(str(i), nn.Linear(2, 2))
        net.blocks.add_module(f"extra{i}", nn.LayerNorm(2))
    return net


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module": [1]}, r"param_groups: module must be a torch.nn.Module, got [1] (a list)"),
        ({"module": nn.ReLU()}, r"param_groups: ReLU has no parameters"),
        ({"module": nn.LazyLinear(2)}, r"param_groups: 'weight' has no shape yet: send a batch through the module"),
        (
            {"module": Transformer(0).requires_grad_(False)},
            "param_groups: all 6 parameters of the module are frozen",
        ),
        ({"lr": -1.0}, "param_groups: lr must be a number >= 0 (finite), got -1.0"),
        ({"lr": "1e-3"}, "param_groups: lr must be a number >= 0 (finite), got '1e-3' (a str)"),
        ({"weight_decay": -0.1}, "param_groups: weight_decay must be a number >= 0 (finite), got -0.1"),
        ({"layer_decay": 1.5, "layers": LAYERS}, "param_groups: layer_decay must be a number in (0, 1], got 1.5"),
        ({"layer_decay": 0.0, "layers": LAYERS}, "param_groups: layer_decay must be a number in (0, 1], got 0"),
        ({"layer_decay": 0.8}, r"param_groups: layer_decay=0.8 needs layers=, such as r'blocks\.(\d+)'"),
        ({"no_weight_decay": 1}, "param_groups: no_weight_decay must be True, False or patterns, got 1"),
        ({"no_weight_decay": [1]}, "param_groups: a pattern of no_weight_decay must be a str, got 1"),
        ({"layers": []}, "param_groups: layers must be a pattern that captures a number, or a list of patterns"),
        ({"layers": {"tok"}}, "from the input to the output, got {'tok'} (a set)"),
        ({"lr_factors": [0.1]}, "param_groups: lr_factors must map patterns to factors, got [0.1] (a list)"),
        ({"lr_factors": {"tok": 0}}, "param_groups: lr_factors['tok'] must be a number > 0 (finite), got 0"),
        # a pattern that matches nothing
        (
            {"lr_factors": {r"blcks\..*": 0.1}},
            r"param_groups: 'blcks\\..*' of lr_factors matches no parameter; did you mean 'blocks'?; a pattern begins "
            "where the name does, and the names are 'tok.weight', 'pos.weight', 'blocks.0.norm.weight', "
            "'blocks.0.norm.bias', 'blocks.0.linear.weight', … (18 parameters)",
        ),
        ({"lr_factors": {"locks": 0.1}}, "'locks' of lr_factors matches no parameter; did you mean 'blocks'?"),
        ({"no_weight_decay": "toc"}, "'toc' of no_weight_decay matches no parameter; did you mean 'tok'?"),
        ({"layers": [*LAYERS, "tail"]}, "'tail' of layers matches no parameter; a pattern"),
        ({"layers": r"block\.(\d+)"}, r"'block\\.(\\d+)' of layers matches no parameter; did you mean 'blocks'?"),
        ({"lr_factors": {"tok(": 0.1}}, "param_groups: 'tok(' of lr_factors is no regular expression: missing )"),
        (
            {"module": tied(), "lr_factors": {"head": 2.0}},
            "param_groups: 'head' of lr_factors matches only 'head.weight', which is tied to 'embed.weight' and goes "
            "by that name",
        ),
        # a parameter that two patterns match, or none
        (
            {"lr_factors": {"head": 0.1, ".*bias": 2.0}},
            "param_groups: 'head.bias' is matched by two patterns of lr_factors, 'head' and '.*bias': make one of them",
        ),
        ({"layers": [*LAYERS, "head"]}, "'head.weight' is matched by two patterns of layers, 'norm|head' and 'head'"),
        (
            {"layers": LAYERS[1:]},
            "param_groups: 'tok.weight', 'pos.weight' in no layer: add a pattern for it",
        ),
        (
            {"layers": LAYERS[:1]},
            "'blocks.0.norm.weight', 'blocks.0.norm.bias', 'blocks.0.linear.weight', 'blocks.0.linear.bias', "
            "'blocks.1.norm.weight', … (16 parameters) in no layer",
        ),
        (
            {"module": with_a_norm_between(), "layers": r"blocks\.(\d+)"},
            "param_groups: 'blocks.extra0.weight', 'blocks.extra0.bias' between the layers that "
            r"layers='blocks\\.(\\d+)' matches, in none of them: give a list of patterns, one for each layer",
        ),
        ({"layers": "blocks"}, "param_groups: layers='blocks' captures no number in 'blocks.0.norm.weight': put it in"),
        ({"layers": r"(blocks)\.(\d+)"}, r"captures no number in 'blocks.0.norm.weight': put it in parentheses"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    wanted: dict[str, Any] = {"module": Transformer(), "lr": 0.1, **settings}
    with pytest.raises(ValueError, match=re.escape(message)):
        param_groups(**wanted)


def test_a_bad_pattern_is_refused_however_little_it_would_matter() -> None:
    with pytest.raises(ValueError, match="'toc' of no_weight_decay matches no parameter"):
        param_groups(Transformer(), 0.1, weight_decay=0.0, no_weight_decay="toc")
