"""Parameter groups: which parameters get which share of the lr, and which of them decay.

A schedule multiplies every group's own lr, so ratios that are set here hold through the whole run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import Parameter, is_lazy

from lightning_lr.core.checks import did_you_mean, number, shown, suggesting

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # instance norms are batch norms' siblings


@suggesting
def param_groups(
    module: nn.Module,
    lr: float,
    *,
    weight_decay: float | None = None,
    no_weight_decay: bool | str | Iterable[str] = True,
    layers: str | Sequence[str] | None = None,
    layer_decay: float = 1.0,
    lr_factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Groups for any ``torch.optim`` optimizer: layer-wise lr decay, lr factors, no weight decay where it does harm.

    A parameter in layer i of n (0 is the input's) that the pattern p of ``lr_factors`` matches has
    ``lr · layer_decay ** (n - 1 - i) · lr_factors[p]``: the output layer keeps ``lr``.

    A *pattern* is a regular expression for the whole name of a parameter or of a module that holds it, with or without
    the dot behind: ``"head"``, ``r"head\\."`` and ``r"head\\..*"`` are the same; none matches a module ``heads``.
    Names are those of ``module.named_parameters()``, without what ``torch.compile`` puts into them.

    Args:
        module: whose parameters; tied ones are taken once, by their first name: an embedding that is also the head's
            weight belongs to the input.
        lr: the largest lr, unless a factor is above 1.
        weight_decay: of the groups that decay; None leaves it to the optimizer: ``AdamW(groups, weight_decay=0.1)``.
        no_weight_decay: True: parameters with fewer than two dimensions, biases and normalization layers do not decay.
            A pattern, or several, adds to these (embeddings, say). False: every parameter decays.
        layers: patterns from the input to the output, one for each layer; or a single one that captures the layer's
            number, ``r"blocks\\.(\\d+)"``: what the module has before the first match is then a layer ``input``, what
            it has after the last one a layer ``output``.
        layer_decay: in (0, 1]; each layer's lr as a share of the one above it.
        lr_factors: pattern -> factor of the lr, > 0.

    Returns:
        Groups without empty ones, from the input to the output, each with ``name``, ``params``, ``lr``, and
        ``weight_decay`` where it is known. A name is that of the layer, of the pattern in ``lr_factors``, or both, else
        ``base``; with ``-no_decay`` behind it where a group does not decay. Groups with different names stay apart even
        where their settings are equal, so that curves and checkpoints of ``layer_decay=1.0`` and ``0.8`` fit together.

    Frozen parameters (``requires_grad=False``) are in no group, but count as layers: freezing changes no other
    parameter's lr. They can join later by ``add_param_group``; to have them in from the start, freeze after this call.

    Raises:
        ValueError: a pattern that matches nothing, a parameter that two patterns match, one in no layer.

    Source: Howard & Ruder 2018, arXiv 1801.06146 (discriminative fine-tuning, ``layer_decay=1 / 2.6``); Clark et al.
    2020, arXiv 2003.10555 (layer-wise decay for transformers).

    >>> from collections import OrderedDict
    >>> from torch import nn
    >>> body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False))
    >>> net = nn.Sequential(OrderedDict(embed=nn.Embedding(10, 4), blocks=body, head=nn.Linear(4, 10, bias=False)))
    >>> for group in param_groups(net, 0.8, weight_decay=0.1, layers=r"blocks\\.(\\d+)", layer_decay=0.5):
    ...     print(group["name"], group["lr"], group["weight_decay"])
    input 0.1 0.1
    blocks.0 0.2 0.1
    blocks.0-no_decay 0.2 0.0
    blocks.1 0.4 0.1
    output 0.8 0.1
    >>> [(g["name"], g["lr"]) for g in param_groups(net, 0.8, no_weight_decay=False, lr_factors={"embed|blocks": 0.25})]
    [('embed+blocks', 0.2), ('base', 0.8)]
    """
    lr = number(lr, "param_groups: lr", low=0)
    layer_decay = number(layer_decay, "param_groups: layer_decay", low=0, high=1, low_open=True)
    if weight_decay is not None:
        weight_decay = number(weight_decay, "param_groups: weight_decay", low=0)
    if layers is None and layer_decay != 1:
        raise ValueError(rf"param_groups: layer_decay={layer_decay:g} needs layers=, such as r'blocks\.(\d+)'")
    if lr_factors is not None and not isinstance(lr_factors, Mapping):
        raise ValueError(f"param_groups: lr_factors must map patterns to factors, got {shown(lr_factors)}")
    names = _names(module)
    factors = {
        pattern: number(factor, f"param_groups: lr_factors[{pattern!r}]", low=0, low_open=True)
        for pattern, factor in (lr_factors or {}).items()
    }
    factor_of = _assigned(list(factors), "lr_factors", names)
    spared = _spared(module, no_weight_decay, names)
    if weight_decay == 0:
        spared = set()  # nothing decays: nothing to tell apart
    place_of, depth = _layers(layers, names)

    found: dict[tuple[_Layer, str | None], dict[bool, list[Parameter]]] = {}
    for name, parameter in names.parameters.items():
        if parameter.requires_grad:
            place = (place_of[name], factor_of.get(name))
            found.setdefault(place, {}).setdefault(name in spared, []).append(parameter)
    if not found:
        raise ValueError(f"param_groups: all {len(names.parameters)} parameters of the module are frozen")

    groups: list[dict[str, Any]] = []
    labels: set[str] = set()
    for (layer, pattern), kinds in sorted(found.items(), key=lambda item: item[0][0].number):
        label = _free("-".join(filter(None, [layer.name, pattern and _label(pattern)])) or "base", labels)
        rate = lr * layer_decay ** (depth - 1 - layer.number) * factors.get(pattern or "", 1.0)
        for plain, params in sorted(kinds.items()):
            group = {"name": f"{label}-no_decay" if plain else label, "params": params, "lr": rate}
            decay = 0.0 if plain else weight_decay
            groups.append(group if decay is None else {**group, "weight_decay": decay})
    return groups


class _Names(NamedTuple):
    """The parameters by name, in module order, and the further names of tied ones with their first."""

    parameters: dict[str, Parameter]
    tied: dict[str, str]


class _Layer(NamedTuple):
    """Where a parameter lies between input (0) and output."""

    number: int
    name: str


def _names(module: nn.Module) -> _Names:
    if not isinstance(module, nn.Module):
        raise ValueError(f"param_groups: module must be a torch.nn.Module, got {shown(module)}")
    first: dict[int, str] = {}
    names = _Names({}, {})
    for given, parameter in module.named_parameters(remove_duplicate=False):
        name = given.replace("_orig_mod.", "")  # torch.compile's
        if is_lazy(parameter):
            raise ValueError(f"param_groups: {name!r} has no shape yet: send a batch through the module first")
        if first.setdefault(id(parameter), name) == name:
            names.parameters[name] = parameter
        else:
            names.tied[name] = first[id(parameter)]
    if not names.parameters:
        raise ValueError(f"param_groups: {type(module).__name__} has no parameters")
    return names


def _spared(module: nn.Module, no_weight_decay: bool | str | Iterable[str], names: _Names) -> set[str]:
    """The names of the parameters without weight decay."""
    if no_weight_decay is False:
        return set()
    extra = [] if no_weight_decay is True else no_weight_decay
    if not isinstance(extra, Iterable):
        raise ValueError(f"param_groups: no_weight_decay must be True, False or patterns, got {shown(extra)}")
    extra = [extra] if isinstance(extra, str) else list(extra)
    norms = {id(p) for part in module.modules() if isinstance(part, _NORMS) for p in part.parameters(recurse=False)}
    usual = {
        name
        for name, parameter in names.parameters.items()
        if parameter.ndim < 2 or name.endswith("bias") or id(parameter) in norms
    }
    return usual.union(*(_matches(pattern, "no_weight_decay", names) for pattern in extra))


def _layers(layers: str | Sequence[str] | None, names: _Names) -> tuple[dict[str, _Layer], int]:
    """Every parameter's layer, and how many layers there are."""
    if layers is None:
        return dict.fromkeys(names.parameters, _Layer(0, "")), 1
    if isinstance(layers, str):
        return _numbered_layers(layers, names)
    if not isinstance(layers, Sequence) or not layers:  # a set has no order
        raise ValueError(
            "param_groups: layers must be a pattern that captures a number, or a list of patterns from the input to "
            f"the output, got {shown(layers)}"
        )
    patterns = list(layers)
    found = _assigned(patterns, "layers", names)
    lost = [name for name in names.parameters if name not in found]
    if lost:
        raise ValueError(f"param_groups: {_listed(lost)} in no layer: add a pattern for it to layers")
    order = {pattern: _Layer(i, _label(pattern)) for i, pattern in enumerate(patterns)}
    return {name: order[pattern] for name, pattern in found.items()}, len(patterns)


def _numbered_layers(pattern: str, names: _Names) -> tuple[dict[str, _Layer], int]:
    matches = _matches(pattern, "layers", names)
    numbers: dict[str, tuple[int, ...]] = {}
    labels: dict[tuple[int, ...], str] = {}
    for name, match in matches.items():
        if not match.groups() or not all(text and text.isdecimal() for text in match.groups()):
            raise ValueError(
                f"param_groups: layers={pattern!r} captures no number in {name!r}: put it in parentheses, as in "
                r"r'blocks\.(\d+)', or give a list of patterns, one for each layer"
            )
        numbers[name] = tuple(int(text) for text in match.groups())
        labels.setdefault(numbers[name], match[0].rstrip("."))
    every = list(names.parameters)
    positions = [i for i, name in enumerate(every) if name in matches]
    before, after = every[: positions[0]], every[positions[-1] + 1 :]
    between = [name for name in every[positions[0] : positions[-1]] if name not in matches]
    if between:
        raise ValueError(
            f"param_groups: {_listed(between)} between the layers that layers={pattern!r} matches, in none of them: "
            "give a list of patterns, one for each layer"
        )
    order = {number: _Layer(i + bool(before), labels[number]) for i, number in enumerate(sorted(labels))}
    depth = bool(before) + len(order) + bool(after)
    place_of = dict.fromkeys(before, _Layer(0, "input")) | dict.fromkeys(after, _Layer(depth - 1, "output"))
    return place_of | {name: order[number] for name, number in numbers.items()}, depth


def _assigned(patterns: Sequence[str], field: str, names: _Names) -> dict[str, str]:
    """The one pattern that matches a parameter, for those that one matches."""
    found: dict[str, str] = {}
    for pattern in patterns:
        for name in _matches(pattern, field, names):
            if name in found:
                raise ValueError(
                    f"param_groups: {name!r} is matched by two patterns of {field}, {found[name]!r} and {pattern!r}: "
                    "make one of them narrower"
                )
            found[name] = pattern
    return found


def _matches(pattern: object, field: str, names: _Names) -> dict[str, re.Match[str]]:
    """What a pattern matches, by the names of parameters: at least one."""
    if not isinstance(pattern, str):
        raise ValueError(f"param_groups: a pattern of {field} must be a str, got {shown(pattern)}")
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"param_groups: {pattern!r} of {field} is no regular expression: {error}") from None
    found = {name: match for name in names.parameters if (match := _match(regex, name))}
    if found:
        return found
    tied = next((name for name in names.tied if _match(regex, name)), None)
    if tied:
        raise ValueError(
            f"param_groups: {pattern!r} of {field} matches only {tied!r}, which is tied to {names.tied[tied]!r} and "
            "goes by that name"
        )
    known = dict.fromkeys(name[:end].rstrip(".") for name in names.parameters for end in _ends(name))
    raise ValueError(
        f"param_groups: {pattern!r} of {field} matches no parameter{did_you_mean(_label(pattern), known)}; a pattern "
        f"begins where the name does, and the names are {_listed(list(names.parameters))}"
    )


def _match(regex: re.Pattern[str], name: str) -> re.Match[str] | None:
    """The match of the outermost module that holds the parameter, or of the parameter itself."""
    return next((match for end in _ends(name) if (match := regex.fullmatch(name, 0, end))), None)


def _ends(name: str) -> list[int]:
    """Where the names of the modules end that hold a parameter, without and with their dot, and its own."""
    return [end for i, char in enumerate(name) if char == "." for end in (i, i + 1)] + [len(name)]


def _label(pattern: str) -> str:
    """A pattern as the name of a curve.

    >>> _label(r"backbone\\..*"), _label("tok|pos"), _label(r".*\\.lora_[AB]"), _label(r"(?:blocks\\.[0-3]\\.)")
    ('backbone', 'tok+pos', 'lora_AB', 'blocks.0-3')
    """
    bare = re.sub(r"(\\[a-zA-Z]|(?<!\\)\.)[*+?]\??|\(\?[:=!<]*|\\[a-zA-Z]", "", pattern)
    return re.sub(r"[^\w.|-]+", "", bare).strip(".-|").replace("|", "+") or "pattern"


def _listed(names: Sequence[str]) -> str:
    shown_names = ", ".join(repr(name) for name in names[:5])
    return shown_names if len(names) <= 5 else f"{shown_names}, … ({len(names)} parameters)"


def _free(label: str, taken: set[str]) -> str:
    """The label, or with a number where another pattern reads the same without its signs."""
    free, n = label, 0
    while free in taken:
        n += 1
        free = f"{label}-{n}"
    taken.add(free)
    return free


__all__ = ["param_groups"]
