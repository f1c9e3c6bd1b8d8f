"""Minimum arborescences of dense graphs: Edmonds' algorithm, iterative, in NumPy.

Edmonds (1967) in the path-growing form of Gabow, Galil, Spencer and Tarjan (1986): follow the
cheapest incoming edge backwards until the root is met or a cycle closes; a cycle is contracted in
place, which costs its length times N, so that the whole takes O(N^2).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from weightscape.errors import BadInput


def minimum_arborescence(
    weights: Float64[np.ndarray, "N N"], root: int | None = None
) -> Int64[np.ndarray, " N"]:
    """Find each node's parent in the cheapest spanning arborescence.

    ``weights[i, j]`` is the cost of the edge i -> j; inf means no edge, the diagonal is ignored.
    The root's parent is -1. Without `root` the cheapest root is taken. Nodes that cannot be
    reached start trees of their own (parent -1), as few as possible.

    Raises:
        BadInput: the matrix is not square, holds NaN or -inf, or the root is not in it.

    >>> minimum_arborescence(np.array([[0.0, 1.0, 5.0], [9.0, 0.0, 1.0], [9.0, 9.0, 0.0]]), 0)
    array([-1,  0,  1])
    """
    n = _checked_size(weights, root)
    if n == 0:
        return np.empty(0, dtype=np.int64)
    graph = _Contracting.of(_with_ground(weights, root))
    settled = np.zeros(n + 1, dtype=bool)
    settled[n] = True  # the ground node, from which every tree hangs
    for start in range(n):
        if graph.alive[start] and not settled[start]:
            _grow_path(graph, start, settled)
    parent = _expand(graph)[:n]
    parent[parent == n] = -1
    return parent


def _checked_size(weights: Float64[np.ndarray, "N N"], root: int | None) -> int:
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise BadInput(f"edge weights must be a square matrix; got shape {weights.shape}")
    n = len(weights)
    off_diagonal = weights[~np.eye(n, dtype=bool)]
    if np.isnan(off_diagonal).any() or (off_diagonal == -np.inf).any():
        raise BadInput("edge weights must be finite or +inf; got NaN or -inf")
    if root is not None and not 0 <= root < n:
        raise BadInput(f"the root must be one of the {n} nodes; got {root}")
    return n


def _with_ground(
    weights: Float64[np.ndarray, "N N"], root: int | None
) -> Float64[np.ndarray, "M M"]:
    """Give costs as ``incoming[child, parent]`` with one more node that reaches every node.

    An edge from the ground costs more than any saving by it, so there are as few as need be.
    """
    n = weights.shape[0]
    incoming = np.full((n + 1, n + 1), np.inf)
    incoming[:n, :n] = weights.T
    np.fill_diagonal(incoming, np.inf)
    finite = incoming[np.isfinite(incoming)]
    span = float(finite.max() - finite.min()) if finite.size else 0.0
    top = float(np.abs(finite).max()) if finite.size else 0.0
    incoming[:n, n] = top + (span + 1.0) * (n + 1)
    if root is not None:
        incoming[root, :] = np.inf
        incoming[root, n] = 0.0
    return incoming


@dataclass(slots=True)
class _Contracting:
    """A dense graph whose cycles are contracted into one of their own slots.

    incoming[v, u]: reduced cost of u -> v; tail, head: the edge of the first graph that it stands
    for. A vertex is a slot's present meaning: a node, or a contraction of vertices.
    """

    incoming: Float64[np.ndarray, "M M"]
    tail: Int64[np.ndarray, "M M"]
    head: Int64[np.ndarray, "M M"]
    alive: Bool[np.ndarray, " M"]
    vertex: list[int]
    inside: list[int]  # by vertex: the vertex it was contracted into, or -1
    members: list[list[int]]  # by vertex: what was contracted into it
    chosen: list[tuple[int, int]]  # by vertex: its incoming edge (tail, head)

    @classmethod
    def of(cls, incoming: Float64[np.ndarray, "M M"]) -> "_Contracting":
        m = incoming.shape[0]
        ids = np.arange(m)
        return cls(
            incoming,
            np.tile(ids, (m, 1)),
            np.tile(ids[:, None], (1, m)),
            np.ones(m, dtype=bool),
            list(range(m)),
            [-1] * m,
            [[] for _ in range(m)],
            [(-1, -1)] * m,
        )

    def choose(self, slot: int) -> tuple[int, float]:
        """Take the cheapest edge into a slot; tell where it comes from and what it costs."""
        source = int(self.incoming[slot].argmin())
        edge = (int(self.tail[slot, source]), int(self.head[slot, source]))
        self.chosen[self.vertex[slot]] = edge
        return source, float(self.incoming[slot, source])

    def contract(self, cycle: list[int], costs: list[float]) -> int:
        """Merge the slots of a cycle into its first; costs are those of the edges inside it."""
        slot, columns = cycle[0], np.array(cycle)
        rows = self.incoming[columns] - np.array(costs)[:, None]
        best = columns[rows.argmin(axis=0)]
        everyone = np.arange(rows.shape[1])
        into = rows.min(axis=0)
        into_tail, into_head = self.tail[best, everyone], self.head[best, everyone]
        out_of = columns[self.incoming[:, columns].argmin(axis=1)]
        self.incoming[:, slot] = self.incoming[everyone, out_of]
        self.tail[:, slot] = self.tail[everyone, out_of]
        self.head[:, slot] = self.head[everyone, out_of]
        self.incoming[slot], self.tail[slot], self.head[slot] = into, into_tail, into_head
        self.incoming[slot, columns] = np.inf
        self.incoming[:, columns[1:]] = np.inf
        self.alive[columns[1:]] = False
        new = len(self.members)
        self.members.append([self.vertex[c] for c in cycle])
        for vertex in self.members[new]:
            self.inside[vertex] = new
        self.inside.append(-1)
        self.chosen.append((-1, -1))
        self.vertex[slot] = new
        return slot


def _grow_path(graph: _Contracting, start: int, settled: Bool[np.ndarray, " M"]) -> None:
    """Walk backwards from a slot along cheapest edges until a settled slot, contracting cycles."""
    path: list[int] = [start]
    costs: list[float] = []
    place = {start: 0}
    while True:
        source, cost = graph.choose(path[-1])
        costs.append(cost)
        if settled[source]:
            settled[path] = True
            return
        if source in place:
            first = place[source]
            cycle = path[first:]
            for slot in cycle:
                del place[slot]
            source = graph.contract(cycle, costs[first:])
            del path[first:], costs[first:]
        place[source] = len(path)
        path.append(source)


def _expand(graph: _Contracting) -> Int64[np.ndarray, " M"]:
    """Undo the contractions: the edge into a contraction breaks its cycle where it enters."""
    m = len(graph.alive)
    parent = np.full(m, -1, dtype=np.int64)
    open_vertices = [graph.vertex[s] for s in range(m - 1) if graph.alive[s]]
    while open_vertices:
        vertex = open_vertices.pop()
        tail, head = graph.chosen[vertex]
        if not graph.members[vertex]:
            parent[vertex] = tail
            continue
        entered = head
        while graph.inside[entered] != vertex:
            entered = graph.inside[entered]
        graph.chosen[entered] = (tail, head)
        open_vertices.extend(graph.members[vertex])
    return parent
