"""The fine classes that the models of a probes zoo know, out of several packaged sets."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from weightscape.tasks.splits import SHARES, split_examples
from weightscape.tasks.text_data import load_text_rows

SOURCES = ("20ng", "reuters_r52", "trec50", "medical_subject", "stereoset_type")

CLASSES_OF: Mapping[str, int] = MappingProxyType(
    dict(zip(SOURCES, (20, 21, 28, 18, 4), strict=True))
)
"""How many classes of a source have rows enough; for estimates, before anything is downloaded."""

LEAST_ROWS = 40
"""Below that a class is left out: too little of it remains to train on and to test on."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class FineClass:
    """A class with its rows. source: the set that it comes from."""

    name: str
    source: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def fine_classes(
    sources: Sequence[str] = SOURCES, *, most: int | None = None, rows: int = 125
) -> tuple[FineClass, ...]:
    """Load every class with rows enough, split into rows to train on and to test on.

    most: classes of a source, the largest ones. rows: of a class, both sides together.
    """
    return tuple(found for source in sources for found in _classes_of(source, most, rows))


def held_out(classes: Sequence[FineClass], *, share: float, seed: int) -> frozenset[str]:
    """Draw the classes that no model of the training, validation and test splits will know.

    The same share of every source, so that what is held out is of no other sort than the rest.
    """
    by_source: dict[str, list[str]] = defaultdict(list)
    for fine in classes:
        by_source[fine.source].append(fine.name)
    generator = np.random.default_rng(seed)
    return frozenset(
        name
        for names in by_source.values()
        for name in generator.permutation(names)[: round(share * len(names))].tolist()
    )


def class_words(name: str) -> str:
    """Say a class in words; the name itself where its set has named it in words.

    >>> class_words("ENTY:animal")
    'a question about an animal'
    """
    return _WORDS.get(name, name.replace("_", " ").replace(".", " "))


def _classes_of(source: str, most: int | None, rows: int) -> list[FineClass]:
    by_class = defaultdict(list)
    for example in load_text_rows(source):
        by_class[str(example.target)].append(example)
    large = sorted(by_class, key=lambda name: (-len(by_class[name]), name))
    large = [name for name in large if len(by_class[name]) >= LEAST_ROWS][:most]
    shares = {"train": SHARES["train"] + SHARES["validation"], "test": SHARES["test"]}
    found = []
    for name in sorted(large):
        sides = split_examples(by_class[name], shares=shares)  # type: ignore[arg-type]
        train, test = (
            tuple(str(example.inputs) for example in sides[side][: round(shares[side] * rows)])
            for side in ("train", "test")
        )
        found.append(FineClass(name, source, train, test))
    return found


_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "alt.atheism": "atheism",
        "comp.graphics": "computer graphics",
        "comp.os.ms-windows.misc": "the Microsoft Windows operating system",
        "comp.sys.ibm.pc.hardware": "PC hardware",
        "comp.sys.mac.hardware": "Macintosh hardware",
        "comp.windows.x": "the X Window System",
        "misc.forsale": "things for sale",
        "rec.autos": "cars",
        "rec.motorcycles": "motorcycles",
        "rec.sport.baseball": "baseball",
        "rec.sport.hockey": "ice hockey",
        "sci.crypt": "cryptography",
        "sci.electronics": "electronics",
        "sci.med": "medicine and health",
        "sci.space": "space flight and astronomy",
        "soc.religion.christian": "Christianity",
        "talk.politics.guns": "gun politics",
        "talk.politics.mideast": "politics of the Middle East",
        "talk.politics.misc": "politics",
        "talk.religion.misc": "religion",
        "acq": "news on takeovers and acquisitions of companies",
        "alum": "news on aluminium",
        "cocoa": "news on cocoa",
        "coffee": "news on coffee",
        "copper": "news on copper",
        "cpi": "news on consumer prices and inflation",
        "crude": "news on crude oil",
        "earn": "news on earnings and dividends of companies",
        "gnp": "news on gross national product",
        "gold": "news on gold",
        "grain": "news on grain and wheat",
        "interest": "news on interest rates",
        "ipi": "news on industrial production",
        "jobs": "news on employment",
        "money-fx": "news on currency exchange rates",
        "money-supply": "news on money supply",
        "reserves": "news on foreign currency reserves",
        "rubber": "news on rubber",
        "ship": "news on shipping and ports",
        "sugar": "news on sugar",
        "trade": "news on foreign trade",
        "ABBR:exp": "a question about what an abbreviation stands for",
        "DESC:def": "a question about the definition of a thing",
        "DESC:desc": "a question that asks for a description",
        "DESC:manner": "a question about how something is done",
        "DESC:reason": "a question about why something is so",
        "ENTY:animal": "a question about an animal",
        "ENTY:color": "a question about a color",
        "ENTY:cremat": "a question about a book, a song or a film",
        "ENTY:dismed": "a question about a disease or a medicine",
        "ENTY:event": "a question about an event",
        "ENTY:food": "a question about food",
        "ENTY:other": "a question about another kind of thing",
        "ENTY:product": "a question about a product",
        "ENTY:sport": "a question about a sport",
        "ENTY:substance": "a question about a substance or a material",
        "ENTY:termeq": "a question about another word for something",
        "HUM:desc": "a question about who a person is",
        "HUM:gr": "a question about a group or an organisation",
        "HUM:ind": "a question about the name of a person",
        "LOC:city": "a question about a city",
        "LOC:country": "a question about a country",
        "LOC:other": "a question about a place",
        "LOC:state": "a question about a state",
        "NUM:count": "a question about how many",
        "NUM:date": "a question about a date",
        "NUM:money": "a question about an amount of money",
        "NUM:other": "a question about another number",
        "NUM:period": "a question about how long something lasts",
        "Dental": "dentistry",
        "ENT": "ear, nose and throat medicine",
        "Forensic_Medicine": "forensic medicine",
        "Gynaecology_Obstetrics": "gynaecology and obstetrics",
        "Medicine": "internal medicine",
        "Skin": "dermatology",
        "Social_Preventive_Medicine": "public health and preventive medicine",
        "gender": "stereotypes of gender",
        "profession": "stereotypes of professions",
        "race": "stereotypes of race and nationality",
        "religion": "stereotypes of religion",
    }
    | {f"digit {number}": f"the handwritten digit {word}" for number, word in enumerate(DIGITS)}
)
