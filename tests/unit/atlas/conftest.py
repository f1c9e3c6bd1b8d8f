import pytest
import torch

from probe_models import SMALL, Population
from weightscape.atlas import Atlas
from weightscape.atlas.expert_job import Training
from weightscape.atlas.experts import train_experts
from weightscape.atlas.labelling import label_models
from weightscape.probing.encoders import open_encoder
from weightscape.probing.label_files import read_label_file


@pytest.fixture(scope="package")
def one_torch_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def probed(tmp_path_factory, one_torch_thread):
    """A population, its atlas with an expert of one tree, the encoder, and what was trained."""
    home = tmp_path_factory.mktemp("probed")
    population = Population(home / "models")
    population.make("first", 40)
    population.make("second", 6)
    encoder = open_encoder(f"vectors:{population.write_texts(home / 'texts.safetensors')}")
    with Atlas(home / "atlas") as atlas:
        atlas.add([population.folder])
        labels = population.write_labels(home / "labels.csv")
        label_models(atlas.store, read_label_file(labels), "file labels")
        trained = train_experts(atlas.store, Training(how=SMALL), encoder)
        yield population, atlas, encoder, trained
