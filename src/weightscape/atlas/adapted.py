"""An adapter on its base: what it multiplies out and what it holds in full, both as deltas."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from weightscape.geometry.align import Shape, TensorShape, role, strip_wrappers
from weightscape.geometry.piece import Member
from weightscape.io import Adapter


@dataclass(frozen=True, slots=True)
class Adapted:
    """A reader of an adapter's deltas from its base.

    kept: the tensors that it holds in full (`modules_to_save`, biases), by the adapter's name,
    with the family's name of each.
    """

    adapter: Adapter
    base: Member
    kept: Mapping[str, str]

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return elements of a delta: the product, or what was kept minus the base's."""
        if name not in self.kept:
            return self.adapter.flat(name, start, stop)
        full = self.adapter.stored.flat(self.adapter.saved[name].name, start, stop)
        under = self.base.reader.flat(self.base.stored[self.kept[name]], start, stop)
        return full.to(torch.float32) - under.to(torch.float32)

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Let go of the memory that reading took."""
        if name not in self.kept:
            self.adapter.release(name, start, stop)
        else:
            self.adapter.stored.release(self.adapter.saved[name].name, start, stop)


def adapted(name: str, adapter: Adapter, base: Member, shapes: Mapping[str, Shape]) -> Member:
    """Make an adapter on its base readable: its products, and the tensors that replace some."""
    learned = {
        stored: info
        for stored, info in adapter.saved.items()
        if role(strip_wrappers(stored), info) == "backbone"
    }
    full = {key: it for key, it in matched(learned, shapes).items() if key in base.stored}
    reader = Adapted(adapter, base, {stored: key for key, stored in full.items()})
    return Member(name, reader, matched(adapter.tensors, shapes) | full, onto=base)


def matched(tensors: Mapping[str, TensorShape], shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Match an adapter's tensors to a family's, by name and shape or unique ending."""
    names: dict[str, str] = {}
    for stored, info in tensors.items():
        canonical = strip_wrappers(stored)
        if shapes.get(canonical) == tuple(info.shape):
            names[canonical] = stored
            continue
        endings = [
            name
            for name, shape in shapes.items()
            if shape == tuple(info.shape)
            and (name.endswith("." + canonical) or canonical.endswith("." + name))
        ]
        if len(endings) == 1:
            names[endings[0]] = stored
    return names
