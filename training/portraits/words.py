"""The tokenizer of the portraits model: CLIP's kind (byte pairs, lower case), learnt from the captions.

Format: `vocab.json` (token to number) and `merges.txt` (one pair a line, after a line with the version), as
transformers' CLIPTokenizer reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.compat import ensure_torchvision

START, END = "<|startoftext|>", "<|endoftext|>"
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def learn(captions: Iterable[str], size: int, folder: Path, length: int) -> Any:
    """Learn at most `size` tokens, write them to `folder` and give back the tokenizer; texts end at `length` tokens."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(captions, trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in learnt["merges"]]
    letters = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    # Each letter also as the last one of a word, so that any text has its tokens.
    tokens = [*letters, *("".join(pair.split(" ")) for pair in merges), START, END]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(numbers, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return load(folder, length)


def load(folder: Path, length: int) -> Any:
    """The tokenizer of a folder that `learn` wrote."""
    ensure_torchvision()
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        model_max_length=length,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=END,
    )
