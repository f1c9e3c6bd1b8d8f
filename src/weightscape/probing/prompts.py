"""Labels as an encoder should read them: in words, put into sentences."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from weightscape.errors import BadInput
from weightscape.probing.encoders.encoder import Encoder, TextVectors, normalised

_PARTING = re.compile(r"[\s._:/\\|>-]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


def label_words(label: str) -> str:
    """Write a label as words.

    >>> label_words("comp.sys.ibm.pc.hardware"), label_words("HUM:ind"), label_words("money-fx")
    ('comp sys ibm pc hardware', 'HUM ind', 'money fx')
    >>> label_words("movieReviews_small"), label_words("MiniLM")
    ('movie Reviews small', 'Mini LM')
    """
    parted = _PARTING.sub(" ", _HUMP.sub(" ", label)).strip()
    return parted or label


def learned_label(text: str, labels: Iterable[str], words: Mapping[str, str]) -> str | None:
    """Find the learned label that a text names: itself, its words, or what they are said to mean.

    >>> learned_label("Rec Autos", ["rec.autos", "sci.med"], {}), learned_label("cars", ["a"], {})
    ('rec.autos', None)
    """

    def plain(it: str) -> str:
        return label_words(it).casefold()

    asked = plain(words.get(text, text))
    for label in labels:
        if asked in {plain(label), plain(words.get(label, label))}:
            return label
    return None


def prompts(words: str, templates: Sequence[str]) -> list[str]:
    """Put words into sentences.

    >>> prompts("cars", ("{}", "texts about {}"))
    ['cars', 'texts about cars']
    """
    # str.format would read attributes that a label or template asks for
    return [template.replace("{}", words) for template in templates]


def label_vectors(
    encoder: Encoder,
    labels: Sequence[str],
    *,
    words: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
) -> TextVectors:
    """Encode labels: the mean over the sentences, [labels, size], each row of L2 norm 1.

    words: what labels mean, for those whose name does not tell it. templates: sentences with a {}
    for the label (default: the encoder's own). Averaging prompts: Radford et al. 2021
    (2103.00020), section 3.1.4. Raises BadInput for a template without {}.
    """
    chosen = tuple(encoder.templates if templates is None else templates)
    wrong = [it for it in chosen if "{}" not in it]
    if wrong or not chosen:
        raise BadInput(f"a template needs a {{}} where the label goes; got {wrong or 'none'}")
    if not labels:
        return np.zeros((0, encoder.size), dtype=np.float32)
    told = words or {}
    if chosen == ("{}",):  # an encoder that only looks texts up knows labels as they are written
        meant = [told.get(label, label) for label in labels]
    else:
        meant = [told.get(label) or label_words(label) for label in labels]
    spelled = [prompt for it in meant for prompt in prompts(it, chosen)]
    vectors = encoder.encode(spelled).reshape(len(labels), len(chosen), encoder.size)
    return normalised(vectors.mean(axis=1), encoder.identity)


def text_vectors(
    encoder: Encoder,
    labels: Iterable[str],
    *,
    words: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
) -> dict[str, Float32[np.ndarray, "size"]]:
    """Encode labels by name, as `label_vectors` does."""
    named = list(dict.fromkeys(labels))
    vectors = label_vectors(encoder, named, words=words, templates=templates)
    return dict(zip(named, vectors, strict=True))
