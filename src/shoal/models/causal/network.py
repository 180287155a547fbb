"""Networks of causal models: a tiny one of the Llama architecture, or what lies in a folder."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shoal.errors import InputError
from shoal.models.causal.tokenizers import CharacterTokenizer, Tokenizer, load_tokenizer

PACKAGES = ("torch", "transformers", "peft")
ADAPTER_FILE = "adapter_config.json"
TINY = {"width": 128, "layers": 4, "heads": 4, "inner": 384, "context": 512}
"""About 0.9 M parameters."""
SPREAD = 0.02
"""Standard deviation of fresh weights: that of Llama, whose layers are thousands wide."""


def lacking_packages() -> str | None:
    """Why no network can run here, with the command that mends it; None if it can."""
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(lacking)}: pip install 'shoal[posttrain]'" if lacking else None


def need_packages(what: str) -> None:
    """Raises InputError, with the command that mends it, unless the extra ``posttrain`` is installed."""
    reason = lacking_packages()
    if reason is not None:
        raise InputError("model", what, f"It {reason}.")


def tiny_network(seed: int, *, spread: float = SPREAD, **shape: int) -> Any:
    """A fresh tiny transformer over characters.

    Args:
        seed: of its parameters.
        spread: standard deviation of its weights. With Llama's a narrow network pays attention to nothing for
            thousands of steps; about 0.8 / sqrt(width) makes it learn to copy in hundreds.
        shape: over ``TINY``: width, layers, heads, inner (of the feed-forward part), context.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    chosen = {**TINY, **shape}
    tokenizer = CharacterTokenizer()
    config = LlamaConfig(
        vocab_size=tokenizer.size,
        hidden_size=chosen["width"],
        intermediate_size=chosen["inner"],
        num_hidden_layers=chosen["layers"],
        num_attention_heads=chosen["heads"],
        num_key_value_heads=chosen["heads"],
        max_position_embeddings=chosen["context"],
        initializer_range=spread,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad,
        bos_token_id=None,
        eos_token_id=tokenizer.end[0],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def save_network(folder: Path, network: Any, tokenizer: Tokenizer) -> None:
    """Write parameters (safetensors), configuration and tokenizer, readable by transformers too."""
    folder.mkdir(parents=True, exist_ok=True)
    with _without_bars():
        network.save_pretrained(folder, safe_serialization=True)
    tokenizer.save(folder)


def load_network(folder: Path) -> tuple[Any, Tokenizer]:
    """Network (float32, evaluation mode) and tokenizer of a folder. Nothing is fetched and no code of it is run.

    A folder with an adapter (peft's format) gives its base with the adapter merged into it.

    Raises:
        InputError: the extra is missing, no such folder, no model in it, weights that are no safetensors, or no chat
            template.
    """
    need_packages(str(folder))
    if (folder / ADAPTER_FILE).exists():
        return _with_adapter(folder)
    if not (folder / "config.json").exists():
        raise InputError("model", str(folder), "Give a folder with config.json and model.safetensors.")
    if not any(folder.glob("*.safetensors")):
        raise InputError("model", str(folder), "Its weights are no safetensors; convert them first.")
    import torch
    from transformers import AutoModelForCausalLM

    with _without_bars():
        network = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    return network.eval(), load_tokenizer(folder)


def load_base(spec: str, beside: Path = Path()) -> tuple[Any, Tokenizer]:
    """Network and tokenizer of a base that can be trained.

    Args:
        spec: ``local:smollm2`` or another pulled model, ``local:tiny-SKILL``, ``local:FOLDER``, or a bare folder.
        beside: what bare relative folders are relative to.

    Raises:
        InputError: nothing of that name, or not ready, with the mend.
    """
    from shoal.models.causal.pulled import is_pulled, load_pulled
    from shoal.models.causal.skills import PREFIX, find_tiny

    scheme, colon, name = spec.partition(":")
    if not colon:
        return load_network(beside / spec)
    if scheme == "local" and name.startswith(PREFIX):
        return load_network(find_tiny(name))
    if scheme == "local" and is_pulled(name):
        return load_pulled(name)
    if scheme == "local" and Path(name).expanduser().is_dir():
        return load_network(Path(name).expanduser())
    mend = "Only weights on this machine can be trained: local:smollm2, local:tiny-SKILL, local:FOLDER or fresh:tiny."
    raise InputError("--model", spec, mend)


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of transformers: what it reads and writes here takes a moment, and they would tear our lines."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _with_adapter(folder: Path) -> tuple[Any, Tokenizer]:
    from peft import PeftModel

    base = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise InputError("model", str(folder), f"Its {ADAPTER_FILE} names no base model.")
    network, tokenizer = load_base(str(base), folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        merged: Any = PeftModel.from_pretrained(network, str(folder)).merge_and_unload()
    return merged.eval(), tokenizer


def context_of(network: Any) -> int:
    """Most tokens of prompt and reply together."""
    return int(network.config.max_position_embeddings)
