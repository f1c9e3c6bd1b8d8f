"""A page's data made up from a seed: families, trees and regions whose geometry is consistent."""

from dataclasses import dataclass, field

import numpy as np

from weightscape.report.data import (
    Neighbour,
    PageData,
    PageEdge,
    PageFamily,
    PageHeat,
    PageModel,
    PageRegion,
    PageSkipped,
    PageUndecided,
)

TASKS = ("imdb", "sst2", "ag_news", "yelp", "snips", "trec", "cola", "mrpc", "qnli", "rte", "boolq")
EVIDENCE = {
    "full": "all 101 backbone tensors differ from the parent; the parent's norm is smaller",
    "lora": "the delta of every attention matrix has rank 8",
    "frozen-part": "62 of 101 tensors are bit-identical to the parent's",
    "cast": "each element is the parent's rounded to BF16",
    "copy": "every tensor has the parent's content hash",
    "merge": "0.50 and 0.50 of the deltas leave a residual of 0.0003",
    "unknown": "near, but its norms point both ways",
}


@dataclass
class Tree:
    """A tree that grows: names with their deltas, edges, and which task each learnt."""

    label: str
    family: str
    base: str
    deltas: dict[str, np.ndarray] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    edges: list[PageEdge] = field(default_factory=list)

    def grow(
        self, name: str, parent: str, kind: str, sure: float, delta: np.ndarray, task: str
    ) -> None:
        distance = float(np.linalg.norm(delta - self.deltas[parent]))
        self.deltas[name] = delta
        self.tasks[name] = task
        self.edges.append(PageEdge(parent, name, kind, sure, (EVIDENCE[kind],), distance))


def synthetic_page(
    count: int = 27, *, trees: int = 1, seed: int = 0, rename: dict[str, str] | None = None
) -> PageData:
    """Make up an atlas of `count` models in `trees` trees; `rename` gives some other names."""
    rng = np.random.default_rng(seed)
    shares = np.diff(np.linspace(0, count, trees + 1).astype(int))
    grown = [_grow_tree(place, int(share), rng) for place, share in enumerate(shares)]
    new = rename or {}

    def named(name: str) -> str:
        return new.get(name, name)

    models: list[PageModel] = []
    regions: list[PageRegion] = []
    heats: list[PageHeat] = []
    for tree in grown:
        clusters = _clusters(tree)
        cosines, names = _cosines(tree)
        models += _models(tree, cosines, names, rng, named)
        for members in clusters:
            medoid = _medoid(members, cosines, names)
            regions.append(
                PageRegion(f"region:{named(medoid)}", tuple(map(named, members)), named(medoid))
            )
        order = [name for members in clusters for name in members]
        order += [name for name in names if name not in set(order) and name != tree.base]
        places = [names.index(name) for name in order]
        heats.append(
            PageHeat(named(tree.label), tuple(map(named, order)), cosines[np.ix_(places, places)])
        )
    edges = tuple(
        PageEdge(
            named(edge.parent),
            named(edge.child),
            edge.kind,
            edge.confidence,
            edge.evidence,
            edge.distance,
        )
        for tree in grown
        for edge in tree.edges
    )
    doubtful = tuple(edge.child for edge in edges if edge.confidence < 0.4)
    return PageData(
        title="zoo/text" if trees == 1 else "models/team",
        made="2026-05-04T09:30:00+00:00",
        version="0.1.0",
        command=f"weightscape chart {'zoo/text' if trees == 1 else 'models/team'}",
        models=tuple(models),
        edges=edges,
        families=tuple(
            PageFamily(name, "101 backbone tensors, 22.6 M parameters")
            for name in dict.fromkeys(tree.family for tree in grown)
        ),
        regions=tuple(regions),
        heats=tuple(heats),
        skipped=(
            PageSkipped("broken/model.safetensors", "header says 9,000 bytes, the file has 812"),
            PageSkipped("gguf/q4.gguf", "GGUF is recognised but not read yet"),
        ),
        undecided=(PageUndecided(doubtful, "norms and kurtosis point both ways"),)
        if doubtful
        else (),
        notes=("layout: classical MDS of the cosines",),
    )


def _grow_tree(place: int, count: int, rng: np.random.Generator) -> Tree:
    label = "minilm" if place == 0 else f"base-{place}"
    tree = Tree(label, "bert-384" if place < 2 else f"family-{place}", label)
    space = 48
    tree.deltas[label] = np.zeros(space)
    tree.tasks[label] = ""
    per_task = max(3, (count - 1) // len(TASKS))
    ways = {task: rng.normal(size=space) for task in TASKS}
    step = 0
    while len(tree.deltas) < min(count, max(2, count - 8)):
        task, run = TASKS[step // per_task % len(TASKS)], step % per_task
        name = f"{task}-s{run}" if place == 0 else f"{label}/{task}-s{run}"
        if name in tree.deltas:
            name += f"-{step}"
        delta = ways[task] + rng.normal(size=space) * 0.8
        tree.grow(name, label, "full", round(float(rng.uniform(0.82, 0.99)), 2), delta, task)
        step += 1
    _grow_special(tree, count, rng)
    return tree


def _grow_special(tree: Tree, count: int, rng: np.random.Generator) -> None:
    full = [name for name in tree.deltas if name != tree.base]
    kinds = ("lora", "cast", "full", "copy", "frozen-part", "merge", "full", "unknown")
    for place in range(count - len(tree.deltas)):
        kind = kinds[place % len(kinds)]
        parent = full[(place * 3) % len(full)] if kind != "lora" else tree.base
        if place == 6:
            parent = list(tree.deltas)[-1]
        noise = rng.normal(size=48) * (0 if kind == "copy" else 0.02 if kind == "cast" else 0.6)
        task = tree.tasks[parent] or "imdb"
        start = tree.deltas[parent]
        if kind == "lora":
            start = tree.deltas[full[0]] * 0.8
        name = f"{parent}-{kind}" if kind != "full" else f"{parent}-then-more"
        if kind == "lora":
            name = f"{tree.base}-{task}-lora"
        if kind == "merge":
            other = full[(place * 3 + 4) % len(full)]
            name = f"{parent}+{other}"
            start, noise = (start + tree.deltas[other]) / 2, noise * 0
        sure = {"unknown": 0.31, "frozen-part": 0.64, "copy": 1.0, "cast": 0.99}.get(kind, 0.9)
        tree.grow(name, parent, kind, sure, start + noise, task)
        if kind == "merge":
            tree.edges.append(PageEdge(other, name, kind, 0.9, (EVIDENCE[kind],), 3.0))


def _cosines(tree: Tree) -> tuple[np.ndarray, list[str]]:
    names = list(tree.deltas)
    deltas = np.stack([tree.deltas[name] for name in names])
    norms = np.linalg.norm(deltas, axis=1, keepdims=True)
    unit = np.divide(deltas, norms, out=np.full_like(deltas, np.nan), where=norms > 0)
    return unit @ unit.T, names


def _clusters(tree: Tree) -> list[list[str]]:
    doubtful = {edge.child for edge in tree.edges if edge.kind in ("unknown", "merge")}
    found: dict[str, list[str]] = {}
    for name, task in tree.tasks.items():
        if task and name not in doubtful:
            found.setdefault(task, []).append(name)
    return list(found.values())


def _medoid(members: list[str], cosines: np.ndarray, names: list[str]) -> str:
    places = [names.index(name) for name in members]
    return members[int(np.argmax(cosines[np.ix_(places, places)].sum(axis=1)))]


def _models(
    tree: Tree, cosines: np.ndarray, names: list[str], rng: np.random.Generator, named: object
) -> list[PageModel]:
    assert callable(named)
    filled = np.nan_to_num(cosines)
    values, vectors = np.linalg.eigh(filled)
    scaled = vectors * np.sqrt(np.maximum(values, 0))
    points = np.hstack([np.zeros((len(names), 2)), scaled])[:, -2:]
    kind = {edge.child: edge.kind for edge in tree.edges}
    models = []
    for place, name in enumerate(names):
        near = [other for other in np.argsort(-filled[place]) if other != place][:5]
        models.append(
            PageModel(
                name=named(name),
                path=f"/data/{tree.label}/{named(name)}",
                family=tree.family,
                tree=named(tree.label),
                x=float(points[place, 0]),
                y=float(points[place, 1]),
                task=tree.tasks[name] or None,
                scores={"accuracy": round(float(rng.uniform(0.7, 0.95)), 3)}
                if tree.tasks[name]
                else {},
                parameters=22_713_216,
                nbytes=45_437_760 if kind.get(name) == "cast" else 90_868_376,
                dtype="BF16" if kind.get(name) == "cast" else "F32",
                format="LoRA adapter" if kind.get(name) == "lora" else "Hugging Face folder",
                status="gone" if name.endswith("-copy") else "here",
                facts={"fingerprint": f"{int(rng.integers(1 << 48)):012x}"},
                neighbours=tuple(
                    Neighbour(
                        named(names[other]),
                        float(np.linalg.norm(tree.deltas[name] - tree.deltas[names[other]])),
                        float(cosines[place, other])
                        if np.isfinite(cosines[place, other])
                        else None,
                    )
                    for other in near
                ),
            )
        )
    return models
