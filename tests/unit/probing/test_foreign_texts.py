import numpy as np

from weightscape.probing.foreign import foreign_words, nearest_labels


def around(directions, each, spread, seed=0):
    """Vectors of norm 1 in groups, each near one direction."""
    rng = np.random.default_rng(seed)
    drawn = directions.repeat(each, axis=0) + spread * rng.standard_normal((6 * each, 32))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def test_texts_among_the_labels_are_told_from_texts_beside_them():
    directions = np.eye(6, 32)
    learned, names = around(directions, 5, 0.08), [f"label {i}" for i in range(30)]
    likes, strangers = around(directions, 4, 0.08, seed=1), np.eye(32, dtype=np.float32)[10:20]
    found = nearest_labels(likes, learned, names)
    assert sum(it.foreign for it in found) <= 3
    assert [int(it.label.split()[1]) // 5 for it in found] == [i // 4 for i in range(24)]
    assert all(it.foreign for it in nearest_labels(strangers, learned, names))
    told = foreign_words(np.concatenate([likes[:1], strangers[:1]]), learned, names)
    assert list(told) == [1] and "a guess" in told[1]


def test_few_labels_tell_nothing():
    learned, names = np.eye(3, 32, dtype=np.float32), ["a", "b", "c"]
    strangers = np.eye(32, dtype=np.float32)[10:12]
    assert not any(it.foreign for it in nearest_labels(strangers, learned, names))
    assert nearest_labels(strangers, learned[:0], []) == []
