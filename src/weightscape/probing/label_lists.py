"""Labels out of what files say about a model. It is data: nothing of it is ever evaluated."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weightscape.catalog.records import Label
from weightscape.errors import BadInput
from weightscape.io.model_card import ModelCard
from weightscape.probing.prompts import label_words

LONGEST = 300
MOST = 10_000

# the last two are Model-J's (Horwitz et al., CVPR 2025): class names, and one class's id
CLASS_KEYS = (
    "weightscape.classes",
    "classes",
    "class_names",
    "labels",
    "dataset_chosen_targets",
    "imagenet_class_id",
)

# nothing is given back (*+): what does not fit is found out in one go through the text
_ITEM = re.compile(
    r"""\s*+(?:
        '(?P<single>(?:[^'\\]|\\.)*+)'
      | "(?P<double>(?:[^"\\]|\\.)*+)"
      | (?P<bare>[^\s,'"\[\](){}][^,'"\[\](){}]*+)
    )\s*+(?:,|$)""",
    re.VERBOSE | re.DOTALL,
)
_NO_MORE = re.compile(r"\s*+$")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r"}
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_GENERIC = re.compile(r"label[_ ]?\d+", re.IGNORECASE)
# what a hub puts among the tags of every card
_HUBS_OWN = re.compile(
    r"transformers|safetensors|pytorch|tf|jax|onnx|tensorboard|diffusers|peft|lora|adapter-transformers"
    r"|sentence-transformers|autotrain_compatible|endpoints_compatible|generated_from_trainer"
    r"|text-embeddings-inference|custom_code|model-index|(license|region|arxiv|base_model|doi|deploy"
    r"|co2_eq_emissions|autotrain|adapter|model-index):.*",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"```.*?```|~~~.*?~~~|<[^<>]{0,500}>|https?://\S+|\]\([^)]{0,2000}\)", re.DOTALL
)
_WORD = re.compile(r"\w+")


def read_list(text: str) -> list[str]:
    """Read a list as Python or JSON writes one of texts and numbers; one text alone is a list too.

    Raises BadInput for anything else, such as lists in lists.

    >>> read_list("['apple', 'tench', 3]"), read_list("tabby"), read_list("[]")
    (['apple', 'tench', '3'], ['tabby'], [])
    """
    stripped = text.strip()
    if not stripped or stripped[0] not in _BRACKETS:
        return [stripped] if stripped else []
    if stripped[-1] != _BRACKETS[stripped[0]]:
        raise BadInput(f"{text[:80]!r} begins as a list, but does not end as one")
    inner, found, place = stripped[1:-1], [], 0
    while not _NO_MORE.match(inner, place):
        match = _ITEM.match(inner, place)
        if match is None or match.end() == place:
            raise BadInput(f"{text[:80]!r} is no list of texts: {inner[place : place + 20]!r}")
        bare = match["bare"]
        quoted = match["single"] if match["single"] is not None else match["double"]
        found.append(bare.strip() if bare is not None else _ESCAPE.sub(_unescaped, quoted))
        place = match.end()
        if len(found) > MOST:
            raise BadInput(f"{text[:80]!r} lists more than {MOST:,} texts")
    return found


def metadata_labels(metadata: Mapping[str, Any], keys: Iterable[str] = CLASS_KEYS) -> list[Label]:
    """List the classes that a file's free metadata names; what cannot be read is passed over.

    >>> [it.label for it in metadata_labels({"dataset_chosen_targets": "['apple', 'bear']"})]
    ['apple', 'bear']
    """
    found: list[str] = []
    for key in keys:
        value = metadata.get(key)
        try:
            found += read_list(value) if isinstance(value, str) else _texts(value)
        except BadInput:
            continue
    return [Label(it) for it in _sound(found)]


def config_labels(config: Mapping[str, Any]) -> list[Label]:
    """List the class names of a configuration's `id2label`, without LABEL_0 and its like."""
    named = config.get("id2label")
    values = list(named.values()) if isinstance(named, Mapping) else []
    return [Label(it) for it in _sound(_texts(values)) if not _GENERIC.fullmatch(it)]


def provenance_labels(told: Mapping[str, Any]) -> list[Label]:
    """List the classes and the task that a model's provenance.json names."""
    classes = _sound([*_texts(told.get("classes")), *_texts(told.get("labels"))])
    return [Label(it) for it in classes] + [
        Label(it, "task") for it in _sound(_texts(told.get("task")))
    ]


def card_labels(card: ModelCard) -> list[Label]:
    """List what the top of a model card says: its tags, its task, the data sets it names."""
    tags = [*_texts(card.front.get("tags")), *_texts(card.front.get("pipeline_tag"))]
    data_sets = [*_texts(card.front.get("datasets")), *_scored_on(card.front)]
    data_sets += [it.partition(":")[2] for it in tags if it.lower().startswith("dataset:")]
    own = [
        it
        for it in _sound(tags)
        if not _HUBS_OWN.fullmatch(it) and not it.lower().startswith("dataset:")
    ]
    return [Label(it, "tag") for it in own] + [Label(it, "task") for it in _sound(data_sets)]


def card_words(card: ModelCard, most: int = 50_000) -> str:
    """Give the words of a card's text: no markup, code or addresses.

    >>> card_words(ModelCard("# About <b>films</b>, see [here](http://a.b/c)"))
    'About films see here'
    """
    return " ".join(_WORD.findall(_MARKUP.sub(" ", card.text)))[:most]


def words_of_labels(labels: Iterable[Label], words: Mapping[str, str]) -> str:
    """Write labels for a search of words: as they are, taken apart, and as they were explained."""
    said = [[it.label, label_words(it.label), words.get(it.label, "")] for it in labels]
    return " ".join(dict.fromkeys(text for one in said for text in one if text))


def _scored_on(front: Mapping[str, Any]) -> Iterator[str]:
    """Name the data sets of a card's results (`model-index`)."""
    for model in _objects(front.get("model-index")):
        for result in _objects(model.get("results")):
            for data_set in _objects(result.get("dataset")):
                yield from _texts(data_set.get("name"))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    listed = value if isinstance(value, list) else [value]
    return [it for it in listed if isinstance(it, Mapping)]


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list | tuple) else [value]
    return [
        str(it) for it in listed[:MOST] if isinstance(it, str | int) and not isinstance(it, bool)
    ]


def is_label(text: str) -> bool:
    """Tell whether a text can be a label: not empty, not long, and printable."""
    return 0 < len(text) <= LONGEST and text.isprintable()


def _sound(texts: Iterable[str]) -> list[str]:
    kept = [it for it in (" ".join(text.split()) for text in texts) if is_label(it)]
    return list(dict.fromkeys(kept))[:MOST]


def _unescaped(match: re.Match[str]) -> str:
    return _PLAIN.get(match[1], match[1])
