"""A made-up GGUF model of a few kilobytes: the handling of files does not depend on what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shoal.models.local.cards import ModelCard, sha256_of

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in byte-level tokenizers, in the order of the bytes they stand for."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(hidden)) for byte in range(256)]


def write_tiny_gguf(path: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """A GGUF file with 4-bit, 8-bit and 32-bit tensors; returns what they hold, dequantised."""
    import gguf
    from gguf import GGMLQuantizationType as Kind

    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 1)
    writer.add_file_type(3)
    tokens = [*CONTROL, *byte_letters(), "ab", "Ġt", "12"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(tokens) - len(CONTROL)))
    writer.add_token_merges(["a b", "Ġ t", "1 2"])
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    held = {}
    kinds = {"w4": (Kind.Q4_1, (8, 64)), "w8": (Kind.Q8_0, (4, 32)), "norm": (Kind.F32, (64,))}
    for name, (kind, shape) in kinds.items():
        values = rng.normal(size=shape).astype(np.float32)
        data = values if kind == Kind.F32 else gguf.quants.quantize(values, kind)
        held[name] = gguf.quants.dequantize(data, kind)
        writer.add_tensor(name, data, raw_dtype=None if kind == Kind.F32 else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def tiny_card(shipped: Path) -> ModelCard:
    return ModelCard(
        name="tiny",
        title="Tiny",
        licence="Apache-2.0",
        package="tiny-model",
        version="1.0",
        member="tiny_model/tiny.gguf",
        wheel_bytes=10_000,
        sha256=sha256_of(shipped),
    )
