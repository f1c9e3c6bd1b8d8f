"""Score a model folder as a program of its own does: start, load with transformers, evaluate.

    python bench/tune/fresh_process.py FOLDER ROWS.json [--bf16]

ROWS.json has the texts, the numbers of their labels, how many tokens a text may have, and how
many rows go through the network at once. The mean loss goes to stdout.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main() -> None:
    torch.set_num_threads(1)
    folder, rows = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    size, total = rows["batch"], 0.0
    for start in range(0, len(rows["texts"]), size):
        texts = rows["texts"][start : start + size]
        inputs = tokenizer(
            texts, padding=True, truncation=True, max_length=rows["tokens"], return_tensors="pt"
        )
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, "--bf16" in sys.argv):
            logits = model(**inputs).logits
        targets = torch.tensor(rows["targets"][start : start + size])
        losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        total += float(losses)
    print(total / len(rows["texts"]))


if __name__ == "__main__":
    main()
