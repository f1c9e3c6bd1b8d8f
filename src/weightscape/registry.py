"""One registry for every plug-in point: poolings, layouts, samplers, later merge methods."""

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from weightscape.errors import BadInput, UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things of one kind, in the order they were registered.

    Third parties add theirs through the entry-point group ``weightscape.<kind>s``, which is read
    only when a name is not among the built-in ones.

    >>> shouts: Registry[str] = Registry("shout")
    >>> shouts.add("loud", "AAH")
    'AAH'
    >>> shouts["loud"]
    'AAH'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}
        self._entry_points_read = False

    def add(self, name: str, thing: T) -> T:
        """Register a thing under a name that is still free."""
        if name in self._things:
            raise BadInput(f"there is already a {self.kind} named {name!r}; choose another name")
        self._things[name] = thing
        return thing

    def register(self, name: str) -> Callable[[T], T]:
        """Register the decorated thing under `name`."""
        return lambda thing: self.add(name, thing)

    def names(self) -> tuple[str, ...]:
        """Tell all known names."""
        return tuple(self._things)

    def __getitem__(self, name: str) -> T:
        if name not in self._things and not self._entry_points_read:
            self._entry_points_read = True
            for point in entry_points(group=f"weightscape.{self.kind.replace(' ', '_')}s"):
                self._things.setdefault(point.name, point.load())
        try:
            return self._things[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._things) from None

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
