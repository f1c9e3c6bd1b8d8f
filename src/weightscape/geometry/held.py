"""What a span holds: each tensor once, those that move apart from those that do not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels

_SAME_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

_Taken = dict[tuple[object, ...], tuple[Tensor, Tensor]]
"""What was given of one model, by address, and what is held of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """The terms of a weighted sum of models and deltas.

    names: all tensors, in the origin's order. constants: those that no term moves, the origin's.
    terms: the moving tensors, term by term: the origin has all of them, another model too, a
    delta perhaps only some. whole: which terms are models and not deltas. tied: alias to the name
    whose elements it shares in every term.
    """

    names: tuple[str, ...]
    constants: Mapping[str, Tensor]
    terms: tuple[Mapping[str, Tensor], ...]
    whole: tuple[bool, ...]
    tied: Mapping[str, str]


def hold(origin: Mapping[str, Tensor], device: torch.device | None) -> Held:
    """Hold one model, of which nothing moves yet; BadInput for tensors that are not plain."""
    taken: _Taken = {}
    tensors = {}
    for name in origin:
        tensor = origin[name]
        _check_plain(name, tensor, "the origin")
        tensors[name] = _kept(tensor, device, taken)
    held = Held(tuple(tensors), tensors, ({},), (True,), {})
    return replace(held, tied=_tied(held))


def with_model(held: Held, model: Mapping[str, Tensor], device: torch.device | None) -> Held:
    """Hold one more model of the same tensors; those that do not move yet may be left out.

    Raises MismatchedModels for a tensor that is missing, unknown, or of another shape.
    """
    which = f"model {len(held.terms)}"
    _refuse_unknown(held, model, which)
    term: dict[str, Tensor] = {}
    taken: _Taken = {}
    for name in held.names:
        tensor = model.get(name)
        if tensor is None:
            if name in held.constants:
                continue
            raise MismatchedModels(f"tensor {name!r} is missing in {which} of the span")
        origin = _origin(held, name)
        _check_fits(name, origin, tensor, which)
        if not origin.is_floating_point():
            continue
        if name not in held.constants or not same_bits(origin, tensor):
            term[name] = _kept(tensor, device, taken)
    return _extended(held, term, whole=True)


def with_delta(held: Held, delta: Mapping[str, Tensor], device: torch.device | None) -> Held:
    """Hold one more delta; tensors that it lacks, or where it is all zero, it does not move.

    Raises MismatchedModels for a tensor that is unknown, of another shape, or cannot be added to.
    """
    which = f"direction {len(held.terms)}"
    _refuse_unknown(held, delta, which)
    term: dict[str, Tensor] = {}
    taken: _Taken = {}
    for name in delta:
        origin, tensor = _origin(held, name), delta[name]
        _check_fits(name, origin, tensor, which)
        if not bool(tensor.ne(0).any()):
            continue
        if not (origin.is_floating_point() and tensor.is_floating_point()):
            raise MismatchedModels(
                f"tensor {name!r}: {which} of the span would add {tensor.dtype} to {origin.dtype}; "
                "only floating tensors move"
            )
        term[name] = _kept(tensor, device, taken)
    return _extended(held, term, whole=False)


def _extended(held: Held, term: dict[str, Tensor], *, whole: bool) -> Held:
    newly = [name for name in term if name in held.constants]
    older = [
        {**tensors, **{name: held.constants[name] for name in newly}} if is_model else tensors
        for tensors, is_model in zip(held.terms, held.whole, strict=True)
    ]
    constants = {name: it for name, it in held.constants.items() if name not in term}
    grown = Held(held.names, constants, (*older, term), (*held.whole, whole), {})
    return replace(grown, tied=_tied(grown))


def _origin(held: Held, name: str) -> Tensor:
    return held.constants[name] if name in held.constants else held.terms[0][name]


def _refuse_unknown(held: Held, given: Mapping[str, Tensor], which: str) -> None:
    known = frozenset(held.names)
    for name in given:
        if name not in known:
            raise MismatchedModels(f"tensor {name!r} of {which} of the span is not in its origin")


def _check_plain(name: str, tensor: Tensor, which: str) -> None:
    if tensor.is_complex() or tensor.is_meta or tensor.layout is not torch.strided:
        raise BadInput(
            f"tensor {name!r} of {which} of the span is {tensor.dtype}, {tensor.layout}, on "
            f"{tensor.device}; a span holds dense tensors of real numbers"
        )


def _check_fits(name: str, origin: Tensor, tensor: Tensor, which: str) -> None:
    _check_plain(name, tensor, which)
    if tensor.shape != origin.shape:
        raise MismatchedModels(
            f"tensor {name!r} has shape {list(tensor.shape)} in {which} of the span, "
            f"{list(origin.shape)} in its origin"
        )


def _kept(tensor: Tensor, device: torch.device | None, taken: _Taken) -> Tensor:
    """Hold a tensor row-major on a device; where it is so already, its own storage."""
    place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
    kept = tensor.detach().to(device=device or tensor.device).contiguous()
    # tied tensors stay tied where they had to be copied; an empty one has no address of its own.
    # The given tensor is kept beside its copy: freed, its address could be another's
    return taken.setdefault(place, (tensor, kept))[1] if tensor.numel() else kept


def version(tensor: Tensor) -> int:
    """Tell how often a tensor was changed in place; -1 for one that does not count."""
    return -1 if tensor.is_inference() else tensor._version


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Compare elements as bits: -0 differs from 0, and a NaN equals itself."""
    if one.dtype != other.dtype:
        return False
    if one.data_ptr() == other.data_ptr() and one.is_contiguous() and other.is_contiguous():
        return True
    bits = _SAME_SIZE[one.dtype.itemsize]
    theirs = other.detach().to(one.device).contiguous()
    return torch.equal(one.contiguous().view(bits), theirs.view(bits))


def _tied(held: Held) -> dict[str, str]:
    """Find names that share their elements in every term: alias to the first of them."""
    first: dict[tuple[object, ...], str] = {}
    tied = {}
    for name in held.names:
        holders = [held.constants] if name in held.constants else held.terms
        place = tuple(
            (term[name].device, term[name].data_ptr(), term[name].shape) if name in term else None
            for term in holders
        )
        # an empty tensor has no address of its own
        if _origin(held, name).numel() and first.setdefault(place, name) != name:
            tied[name] = first[place]
    return tied
