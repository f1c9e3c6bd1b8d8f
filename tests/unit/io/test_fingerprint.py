"""Fingerprints are equal for equal tensors, whatever files hold them, and cheap."""

import pytest
import torch

from weightscape.io import content_hash, fingerprint, open_checkpoint, write_checkpoint
from weightscape.io.checkpoint import Checkpoint


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {f"t{i}": torch.randn(64, 32, generator=generator) for i in range(6)}


@pytest.fixture
def opened(tmp_path):
    def write(name, tensors, **options):
        return open_checkpoint(write_checkpoint(tmp_path / name, tensors, **options))

    return write


@pytest.mark.parametrize("digest", [fingerprint, content_hash])
def test_files_and_their_order_do_not_matter(opened, tensors, tmp_path, digest):
    whole = digest(opened("a", tensors))
    assert digest(opened("b", dict(reversed(tensors.items())))) == whole
    assert digest(opened("c", tensors, shard_bytes=9000, config={"a": 1})) == whole
    torch.save(tensors, tmp_path / "d.pt")
    assert digest(open_checkpoint(tmp_path / "d.pt")) == whole


def changes(tensors):
    bumped = {**tensors, "t3": tensors["t3"] + 1e-6}
    reshaped = {**tensors, "t3": tensors["t3"].view(32, 64)}
    cast = {**tensors, "t3": tensors["t3"].view(torch.int32)}
    renamed = {**tensors, "t33": tensors["t3"]}
    del renamed["t3"]
    swapped = {**tensors, "t3": tensors["t4"], "t4": tensors["t3"]}
    fewer = {name: tensor for name, tensor in tensors.items() if name != "t3"}
    return [bumped, reshaped, cast, renamed, swapped, fewer]


@pytest.mark.parametrize("digest", [fingerprint, content_hash])
def test_every_kind_of_change_is_seen(opened, tensors, digest):
    every = [digest(opened(f"m{i}", one)) for i, one in enumerate([tensors, *changes(tensors)])]
    assert len(set(every)) == len(every)


def test_only_the_content_hash_sees_a_change_between_samples(opened):
    large = torch.zeros(400_000)
    other = large.clone()
    other[100_000] = 1
    before, after = opened("a", {"w": large}), opened("b", {"w": other})
    assert fingerprint(before) == fingerprint(after)
    assert content_hash(before) != content_hash(after)


def test_a_fingerprint_reads_little_of_a_large_model(opened, monkeypatch):
    many = {f"t{i}": torch.full((50,), float(i)) for i in range(6000)}
    for checkpoint in (opened("large", {"w": torch.zeros(3_000_000)}), opened("many", many)):
        read = []
        raw = Checkpoint.raw
        with monkeypatch.context() as patch:
            patch.setattr(
                Checkpoint,
                "raw",
                lambda *args: read.append(len(raw(*args))) or raw(*args),  # noqa: B023
            )
            fingerprint(checkpoint)
        assert 0 < sum(read) < 500_000


def test_hashing_reports_its_progress_in_bytes(opened, tensors):
    class Counting:
        def stage(self, label, *, total=None, unit=""):
            from contextlib import nullcontext

            self.total, self.unit, self.done = total, unit, 0
            return nullcontext(self.advance)

        def advance(self, amount):
            self.done += amount

        def note(self, message):
            raise AssertionError(message)

    progress = Counting()
    checkpoint = opened("a", tensors)
    content_hash(checkpoint, progress)
    assert (progress.unit, progress.total, progress.done) == (
        "B",
        checkpoint.nbytes,
        checkpoint.nbytes,
    )
