from pathlib import Path

from weightscape.cli import zoo
from weightscape.zoo.truth import Truth, ZooModel


def test_a_probes_zoo_is_told_by_tree(capsys):
    models = {
        "root": ZooModel(path="root", tree="one"),
        "a": ZooModel(
            path="a", tree="one", split="train", classes=["x", "y"], scores={"accuracy": 0.5}
        ),
        "b": ZooModel(
            path="b", tree="one", split="unseen", classes=["y", "z"], scores={"accuracy": 1}
        ),
        "lone": ZooModel(path="lone", tree="two"),
    }
    zoo._answer_by_tree(Truth(zoo="probes", models=models, edges=[]), Path("zoo"), False)
    told = capsys.readouterr()
    rows = [line.split() for line in told.out.splitlines()]
    assert rows[1] == ["one", "2", "3", "1", "train,", "1", "unseen", "0.750"]
    assert rows[2] == ["two", "0", "0"]
    assert told.err == "made 4 models; their truth is in zoo/truth.json\n"
