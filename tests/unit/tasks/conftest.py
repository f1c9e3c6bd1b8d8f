import pytest

from weightscape.tasks.task import make_task


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Let tiny models run on one thread: two that wait for each other are many times slower."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """A folder with a random two-layer BERT and a tokenizer of a dozen words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sentiment():
    """Short reviews that one word decides."""
    rows = [
        (
            f"{start} {thing} was {'very ' * very}{word}",
            "pos" if word in ("good", "fine") else "neg",
        )
        for start in ("a", "the")
        for thing in ("film", "book")
        for very in range(4)
        for word in ("good", "bad", "fine", "poor")
    ]
    return make_task("sentiment", "reviews", {"train": rows[:48], "test": rows[48:]}, max_tokens=9)
