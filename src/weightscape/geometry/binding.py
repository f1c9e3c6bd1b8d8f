"""Which tensors of a live module take which tensors of a span."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.geometry.held import Held, same_bits, version


@dataclass(slots=True)
class Binding:
    """Where a span writes in one module.

    moving, constants: name in the span to the module's tensor, storage that the module shares
    under several names once. addresses: of all the module's tensors when it was bound: one that
    is replaced, moved or cast has another. versions: how often each constant had been changed
    when it was last written.
    """

    moving: list[tuple[str, Tensor]]
    constants: list[tuple[str, Tensor]]
    addresses: list[int]
    versions: list[int]

    def fits(self, module: nn.Module) -> bool:
        """Tell whether the module still has the tensors that were bound."""
        return [tensor.data_ptr() for _, tensor in _tensors(module)] == self.addresses

    def constants_stand(self) -> bool:
        """Tell whether nobody has written into the constants since this binding did."""
        return [version(tensor) for _, tensor in self.constants] == self.versions

    def write_constants(self, held: Held) -> None:
        """Copy the tensors that do not move."""
        for name, target in self.constants:
            target.copy_(held.constants[name])
        self.versions = [version(target) for _, target in self.constants]


def bind(held: Held, module: nn.Module) -> Binding:
    """Find the module's tensor for each tensor of a span.

    Tensors of the module that the span does not know are left alone. Raises MismatchedModels for
    one that the module lacks, has in another shape, or shares under two names that differ in a
    model of the span; BadInput for a span that holds the module's own tensors.
    """
    theirs = dict(_tensors(module))
    lent = {
        tensor.untyped_storage().data_ptr(): name
        for term in (held.constants, *held.terms)
        for name, tensor in term.items()
        if tensor.numel()
    }
    bound: dict[tuple[object, ...], str] = {}
    moving: list[tuple[str, Tensor]] = []
    constants: list[tuple[str, Tensor]] = []
    for name in held.names:
        target = _target(held, name, theirs, lent, type(module).__name__)
        place = (target.device, target.data_ptr(), target.shape, target.stride())
        if target.numel() and place in bound:
            _check_tied(held, bound[place], name)
            continue
        bound[place] = name
        (constants if name in held.constants else moving).append((name, target.detach()))
    addresses = [tensor.data_ptr() for tensor in theirs.values()]
    # versions that no tensor has: the constants are still to be written
    return Binding(moving, constants, addresses, [-2] * len(constants))


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _target(
    held: Held, name: str, theirs: dict[str, Tensor], lent: dict[int, str], module: str
) -> Tensor:
    target = theirs.get(name)
    if target is None:
        raise MismatchedModels(
            f"tensor {name!r} of the span is not in the module ({module}); "
            "make the span of the tensors that they share"
        )
    shape = (held.constants[name] if name in held.constants else held.terms[0][name]).shape
    if target.shape != shape:
        raise MismatchedModels(
            f"tensor {name!r} has shape {list(target.shape)} in the module ({module}), "
            f"{list(shape)} in the span"
        )
    if target.numel() and target.untyped_storage().data_ptr() in lent:
        raise BadInput(
            f"tensor {name!r} of the module is held by the span itself (as "
            f"{lent[target.untyped_storage().data_ptr()]!r}) and would be overwritten; "
            "make the span of clones of a state dict"
        )
    return target


def _check_tied(held: Held, first: str, other: str) -> None:
    """Refuse to write one storage under two names that a model holds different values for."""
    for number, (term, whole) in enumerate(zip(held.terms, held.whole, strict=True)):
        if whole:
            pair = [held.constants.get(name, term.get(name)) for name in (first, other)]
        else:
            pair = [term.get(name) for name in (first, other)]
        one, two = pair
        if one is two:
            continue
        if one is None or two is None or not same_bits(one, two):
            raise MismatchedModels(
                f"tensors {first!r} and {other!r} are one in the module but differ in "
                f"{'model' if whole else 'direction'} {number} of the span"
            )
