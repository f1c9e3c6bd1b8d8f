"""What was found of a region, in sentences that terminal, page and pictures share."""

from collections.abc import Iterable
from math import comb

from weightscape.regions.records import Dominance, GroupName, HullPlace, Radius, RegionResult
from weightscape.report.path_words import number
from weightscape.report.words import count, region_title, shorten

GROUPS: tuple[GroupName, ...] = ("in", "hull", "ex")
CHANCE = 0.5  # P_B of two groups that do not differ
BY_CHANCE = 0.025  # a verdict takes points that would not stand apart like that by chance so often


def group_words(result: RegionResult) -> dict[GroupName, str]:
    """Name the three groups for a table or a legend."""
    outside = {
        "models": "outside models",
        "noise around the base": "base + noise",
        "directions from the centroid": "random directions",
    }
    ex = outside.get(result.outside, result.outside)
    return {"in": "the models", "hull": "points between them", "ex": ex}


def one_outside(result: RegionResult) -> str:
    """Name one point of the group Ex."""
    named = {
        "models": "an outside model",
        "noise around the base": "the base with noise added",
        "directions from the centroid": "a point as far off in a random direction",
    }
    return named.get(result.outside, result.outside)


def group_title(result: RegionResult) -> str:
    """Name the group of models: by its label, or by its first models."""
    if result.label is not None:
        return f"region {region_title(result.label)}"
    few = ", ".join(shorten(it, 30) for it in result.models[:3])
    return few if len(result.models) <= 3 else f"{few} and {len(result.models) - 3} more"


def dominance(
    found: Iterable[Dominance], better: GroupName, worse: GroupName, task: str | None = None
) -> Dominance | None:
    """Find P_B of a pair of groups on a task; the mean over tasks by default."""
    for it in found:
        if (it.better, it.worse, it.task) == (better, worse, task):
            return it
    return None


def verdict_words(result: RegionResult) -> str:
    """Say whether this is a region of good models, by which numbers, and where it ends."""
    over = dominance(result.dominances, "hull", "ex")
    if over is None:
        return "cannot tell: there is nothing outside to compare with"
    low, high = over.interval
    known = low == low and high == high  # NaN: too few points for an interval
    head = "cannot tell whether this is a region of good models"
    if few := too_few_words(result):
        head = f"{head} ({few})"
    elif known and low > CHANCE:
        head = "a region of good models"
    elif known and high < CHANCE:
        head = "no region of good models"
    said = f"a random point between them beats {one_outside(result)} with {share(over)}"
    return "; ".join(filter(None, (f"{head}: {said}", end_words(result.radii))))


def too_few_words(result: RegionResult) -> str | None:
    """Say that there are too few points for a verdict, if so.

    A bootstrap cannot tell: of few points that stand apart all its draws do. Of n and m points
    that do not differ, one group is all better than the other in one of C(n + m, n) orders.
    """
    inside, outside = (sum(it.group == group for it in result.points) for group in ("hull", "ex"))
    if comb(inside + outside, inside) * BY_CHANCE >= 1:
        return None
    return f"{count(inside, 'point')} between and {count(outside, 'point')} outside are too few"


def end_words(radii: Iterable[Radius]) -> str | None:
    """Say where the region ends, on the task where it ends first."""
    every = [it for it in radii if it.unit > 0]
    if not every:
        return None
    ending = [it for it in every if it.value is not None]
    if not ending:
        looked = max(max(ray.distances, default=0) / it.unit for it in every for ray in it.rays)
        return f"no end of it was found within {times(looked)} the models' distance from the centre"
    first = min(ending, key=lambda it: (it.value or 0) / it.unit)
    where = f" on {first.task}" if len(every) > 1 else ""
    return (
        f"it ends at {radius_times(first)} the models' own distance from their centre"
        f"{f' ({radius_spread(first)})' if radius_spread(first) else ''}{where}"
    )


def radius_times(radius: Radius) -> str:
    """Write a radius in the models' own distances; where it was not found, how far was looked."""
    if radius.value is None:
        looked = max((max(ray.distances, default=0.0) for ray in radius.rays), default=0.0)
        return f"beyond {times(looked / radius.unit)}"
    return times(radius.value / radius.unit)


def radius_spread(radius: Radius) -> str:
    """Write a radius's interval in the models' own distances; nothing where there is none."""
    low, high = radius.interval
    if low is None and high is None:
        return ""
    if low is None or high is None:
        known = low if low is not None else high
        assert known is not None
        side = "above" if high is None else "up to"
        return f"{side} {times(known / radius.unit)}"
    return f"{times(low / radius.unit)} to {times(high / radius.unit)}"


def times(value: float) -> str:
    """Write a multiple.

    >>> times(2.14), times(0.5), times(31.9)
    ('2.1x', '0.5x', '32x')
    """
    return f"{value:.1f}x" if value < 10 else f"{value:.0f}x"


def share(found: Dominance) -> str:
    """Write P_B with its interval."""
    low, high = found.interval
    spread = f" ({low:.2f} to {high:.2f})" if low == low and high == high else ""
    return f"P_B {found.value:.2f}{spread}"


def inside_words(result: RegionResult) -> str | None:
    """Say whether points between the models are better or worse than the models."""
    over = dominance(result.dominances, "hull", "in")
    if over is None:
        return None
    low, high = over.interval
    better = (
        "better than" if low > CHANCE else "worse than" if high < CHANCE else "about as good as"
    )
    return f"points between them are {better} the models themselves: {share(over)}"


def place_words(place: HullPlace) -> str:
    """Say where a model lies, and by which distances."""
    middle, highest = place.typical
    own = f"the models' own distances: {middle:.3g}, at most {highest:.3g}"
    if place.place == "in the hull":
        return f"{place.name} lies in the hull ({heaviest(place)})"
    where = "near the hull" if place.place == "near" else "outside the hull"
    return f"{place.name} lies {where}: {place.distance:.3g} from it ({own})"


def heaviest(place: HullPlace, most: int = 3) -> str:
    """Name the models that a place in the hull is mostly made of."""
    heavy = sorted(place.weights.items(), key=lambda it: -it[1])[:most]
    rest = len([it for it in place.weights.values() if it > 0.005]) - most
    said = ", ".join(f"{weight:.2f} {name}" for name, weight in heavy if weight > 0.005)
    return f"{said} and {rest} more" if rest > 0 else said


def region_words(result: RegionResult) -> list[str]:
    """Say all that was found, the verdict first."""
    said = [verdict_words(result), inside_words(result)]
    if len(result.tasks) > 1:
        each = [dominance(result.dominances, "hull", "ex", task) for task in result.tasks]
        said.append(
            "between them over outside: "
            + "; ".join(f"{it.task} {it.value:.2f}" for it in each if it is not None)
        )
    if result.radii:
        limits = [f"{it.task} {number(it.threshold)}" for it in result.radii]
        limit = limits[0].split()[-1] if len(limits) == 1 else "; ".join(limits)
        said.append(f"threshold of the loss: {limit} ({result.radii[0].threshold_rule})")
    said += [place_words(it) for it in result.places]
    rows = f"{count(result.rows, 'held-out row')} and {count(result.train_rows, 'training row')}"
    said.append(f"heads refitted at every point; scored on {rows} of each task")
    return [it for it in said if it] + list(result.notes)
