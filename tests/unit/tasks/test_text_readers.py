import bz2
import gzip
import json

import pytest

from weightscape.errors import UnknownName
from weightscape.tasks import text_data

TAB = "Text\tCategory\nstring\tdiscrete\nmeta\tclass\n"
FILM = (
    "category,text\n"
    'fresh,"a fine, fine film"\n'
    "rotten,dull from end to end\n"
    'plot,"A man walks into a small town. Run! The town walks into the man."\n'
)
SPEECH = "MR. SMITH: (Applause) We are here tonight to talk about the future.\nThank you all."
MEMBERS = {
    "tweets_GroundTruth.txt": b"id\tmean\ttext\n1\t2.5\tlove  it\n2\t-3\thate it\n3\t0.2\tmeh\n4\t",
    "sms-spam.csv": b",spam,text\n0,1,win now\n1,0,see you\n",
    "question_labels.txt": b"LOC:city Where is it ?\nNUM:date When was it ?\nHUM\n",
    "20newsgroups-train.tab": f"{TAB}one\tsci.space\ntwo\trec.autos\n\tsci.med\n".encode(),
    "reuters-r8-train.tab": f"{TAB}profit rose\tearn\nshort\n".encode(),
    "reuters-r52-train.tab": f"{TAB}\t\nbeans\tcocoa\n".encode(),
    "reuters-r52-test.tab": f"{TAB}bullion\tgold\n".encode(),
    "ENT.jsonl": json.dumps({"question": "Which nerve ?", "options": "A. one"}).encode(),
    "rotten_tomatoes_corpus_full.csv.bz2": bz2.compress(FILM.encode()),
    "presidential_debates_2016.csv.gz": gzip.compress(b"party,statement\nd,I say\nr,No I say\n"),
    "political_data.json": json.dumps([{"name": "dem", "speeches": [SPEECH]}]).encode(),
    "test.jsonl": json.dumps(
        {"context": "c", "bias_type": "b", "question": "q", "answer": True}
    ).encode(),
}


@pytest.fixture(autouse=True)
def members(monkeypatch):
    def read_member(wheel, member):
        file = member.rsplit("/", 1)[-1]
        return b"" if "MedMCQA" in member and file not in MEMBERS else MEMBERS[file]

    monkeypatch.setattr(text_data, "read_member", read_member)
    monkeypatch.setattr(text_data, "fetch_wheel", lambda name, progress: None)
    text_data.load_text_rows.cache_clear()
    yield
    text_data.load_text_rows.cache_clear()


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        ("vader_tweets", [("love it", "pos"), ("hate it", "neg")]),
        ("sms_spam", [("win now", "spam"), ("see you", "ham")]),
        ("trec6", [("Where is it ?", "LOC"), ("When was it ?", "NUM")]),
        ("trec50", [("Where is it ?", "LOC:city"), ("When was it ?", "NUM:date")]),
        ("20ng_sci", [("one", "sci.space")]),
        ("20ng", [("one", "sci.space"), ("two", "rec.autos")]),
        ("reuters_r8", [("profit rose", "earn")]),
        ("reuters_r52", [("beans", "cocoa"), ("bullion", "gold")]),
        ("medical_subject", [("Which nerve ?", "ENT")]),
        ("rt_polarity", [("a fine, fine film", "fresh"), ("dull from end to end", "rotten")]),
        (
            "subjectivity",
            [
                ("a fine, fine film", "review"),
                ("dull from end to end", "review"),
                ("A man walks into a small town.", "plot"),
                ("The town walks into the man.", "plot"),
            ],
        ),
        ("debates2016", [("I say", "d"), ("No I say", "r")]),
        ("conventions2012", [("We are here tonight to talk about the future.", "dem")]),
        ("stereoset_type", [("c", "b")]),
        ("privacy_policy", [("q [SEP] c", "True")]),
    ],
)
def test_each_file_is_read_as_what_it_is(task, rows):
    assert [(e.inputs, e.target) for e in text_data.load_text_rows(task)] == rows


def test_rows_keep_their_number_when_others_are_left_out(monkeypatch):
    tweets = "0\t3\tfine\n1\t3\tfine\n2\t3\tboth\n3\t-3\tboth\n4\t-3\tdull"
    monkeypatch.setitem(MEMBERS, "tweets_GroundTruth.txt", tweets.encode())
    assert [e.row for e in text_data.load_text_rows("vader_tweets")] == [0, 4]


def test_a_task_carries_its_name_and_domain(monkeypatch):
    tweets = "\n".join(f"{i}\t{2 if i % 2 else -2}\ttweet {i}" for i in range(200))
    monkeypatch.setitem(MEMBERS, "tweets_GroundTruth.txt", tweets.encode())
    task = text_data.load_text_task("vader_tweets", max_tokens=12)
    assert (task.name, task.domain, task.max_tokens) == ("vader_tweets", "sentiment", 12)
    assert sum(len(rows) for rows in task.splits.values()) == 200
    with pytest.raises(UnknownName, match="nearest: vader_tweets"):
        text_data.load_text_task("vader_tweet")
