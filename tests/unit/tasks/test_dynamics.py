import numpy as np
import pytest
import torch

from weightscape.errors import BadInput, NotFound
from weightscape.tasks.dynamics import (
    Dynamics,
    cartography,
    load_dynamics,
    write_dynamics,
)
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import FineTuning, fine_tune
from weightscape.tasks.models import load_model


def known():
    """Three rows: learned and kept, learned late, forgotten and learned again."""
    gold = np.array([[0.9, 0.1, 0.8], [0.9, 0.3, 0.2], [0.9, 0.8, 0.8]])
    right = (gold > 0.5).astype(float)
    return Dynamics(np.array([7, 8, 9]), np.array([10, 20, 30]), gold, right, -np.log(gold))


def test_the_data_map_of_a_known_history():
    found = cartography(known())
    assert found.rows.tolist() == [7, 8, 9]
    assert found.confidence == pytest.approx([0.9, 0.4, 0.6])
    assert found.variability == pytest.approx([0, np.std([0.1, 0.3, 0.8]), np.std([0.8, 0.2, 0.8])])
    assert found.correctness == pytest.approx([1, 1 / 3, 2 / 3])
    assert found.flips.tolist() == [0, 1, 2]


def test_one_look_is_no_history():
    one = known()
    short = Dynamics(
        one.rows, one.steps[:1], one.gold_probability[:1], one.correct[:1], one.losses[:1]
    )
    with pytest.raises(BadInput, match="two looks or more, got 1"):
        cartography(short)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    write_dynamics(tmp_path, known())
    again = load_dynamics(tmp_path)
    assert all(np.array_equal(getattr(again, n), getattr(known(), n)) for n in Dynamics.__slots__)
    assert [path.name for path in tmp_path.iterdir()] == ["dynamics.npz"]


def test_bad_records_are_refused(tmp_path):
    with pytest.raises(NotFound, match="asked to record dynamics"):
        load_dynamics(tmp_path)
    file = tmp_path / "dynamics.npz"
    parts = {name: getattr(known(), name) for name in Dynamics.__slots__}
    for change in (
        {"rows": parts["rows"].astype(float)},
        {"losses": parts["losses"][:1]},
        {"correct": np.array([[object()]], dtype=object)},
    ):
        np.savez(file, **(parts | change))
        with pytest.raises(BadInput, match="is no record of training dynamics"):
            load_dynamics(tmp_path)
    np.savez_compressed(file, **parts)
    with pytest.raises(BadInput, match="compressed"):
        load_dynamics(tmp_path)
    file.write_bytes(b"not a zip file at all")
    with pytest.raises(BadInput, match="is no record"):
        load_dynamics(tmp_path)


def test_what_is_recorded_is_what_the_model_answered_then(tiny_base, sentiment, tmp_path):
    how = FineTuning(steps=20, lr=3e-3, record_dynamics=5, dynamics_rows=12, save_every=10)
    done = fine_tune(tiny_base, sentiment, tmp_path / "out", how)
    found = load_dynamics(done.folder)
    assert found.steps.tolist() == [5, 10, 15, 20]
    for step, folder in ((10, done.folder / "checkpoint-10"), (20, done.folder)):
        look = found.steps.tolist().index(step)
        now = evaluate(load_model(folder, sentiment), sentiment, split="train", limit=12)
        assert now.rows.tolist() == found.rows.tolist()
        assert found.gold_probability[look] == pytest.approx(now.gold_probabilities, abs=1e-6)
        assert found.losses[look] == pytest.approx(now.losses, abs=1e-5)
        assert found.correct[look].tolist() == now.correct.tolist()


def test_recording_does_not_change_what_is_learned(tiny_base, sentiment, tmp_path):
    from safetensors.torch import load_file

    plain = fine_tune(tiny_base, sentiment, tmp_path / "a", FineTuning(steps=12, lr=1e-3))
    how = FineTuning(steps=12, lr=1e-3, record_dynamics=3)
    watched = fine_tune(tiny_base, sentiment, tmp_path / "b", how)
    one, other = (load_file(it.folder / "model.safetensors") for it in (plain, watched))
    assert all(torch.equal(one[name], other[name]) for name in one)
