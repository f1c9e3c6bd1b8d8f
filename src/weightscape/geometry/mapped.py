"""The tensors of an opened checkpoint as a mapping that reads each when it is asked for."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from weightscape.io import Adapter, Checkpoint


class _Mapped(Mapping[str, Tensor]):
    def __init__(self, model: Checkpoint | Adapter) -> None:
        self._model = model
        self._names = tuple(dict.fromkeys([*model.tensors, *model.tied]))
        self._known = frozenset(self._names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            raise KeyError(name)
        return self._model.tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self._known  # Mapping's own would read the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def mapped_tensors(model: Checkpoint | Adapter) -> Mapping[str, Tensor]:
    """View an opened checkpoint as a mapping from names to tensors of its mapped files.

    Nothing is copied: a span of such mappings takes the file system's cache and no memory of its
    own, and what does not fit is read again. Tied names are there too. An `Adapter` gives the
    products ``scale * B @ A`` by the base's names: deltas for a span in *product space*, made
    when they are asked for; its factors are ``mapped_tensors(adapter.stored)``.
    """
    return _Mapped(model)
