"""From the GGUF file as shipped to one that the engine computes right: weights requantised to 8 bits (Q8_0).

OpenVINO GenAI reads 4-bit GGUF weights fast and wrong (7% of one-digit sums instead of 47%); 8-bit ones it reads
right. The 8-bit file is no better than the 4-bit one it comes from: the same numbers, stored in a form that works.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shoal.models.local.cards import Progress

FILE_TYPE_Q8_0 = 7
"""``general.file_type`` of a file whose weights are mostly Q8_0 (GGUF specification)."""

CONTROL_TOKEN = 3
"""``tokenizer.ggml.token_type`` of tokens with a meaning of their own, such as the end of a turn."""

_WRITTEN_BY_THE_WRITER = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture"}


def convert(source: Path, target: Path, progress: Progress) -> None:
    """Write ``source`` again with every quantised weight as Q8_0; metadata, tokenizer and 32-bit tensors are kept.

    Rows whose length is not a multiple of the block size (32) become F16. Two to three seconds for 135 M weights.
    """
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key in _WRITTEN_BY_THE_WRITER:
            continue
        value = FILE_TYPE_Q8_0 if key == "general.file_type" else field.contents()
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(key, value, field.types[0], field.types[-1] if is_array else None)
    for done, tensor in enumerate(reader.tensors, start=1):
        data, kind = _requantised(tensor)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
        progress("convert", done, len(reader.tensors))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _requantised(tensor: Any) -> tuple[Any, Any]:
    from gguf import GGMLQuantizationType as Kind
    from gguf import quants

    if tensor.tensor_type in (Kind.F32, Kind.Q8_0):
        return tensor.data, tensor.tensor_type
    values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    kind = Kind.Q8_0 if values.shape[-1] % 32 == 0 else Kind.F16
    return quants.quantize(values, kind), kind


def write_tokenizer(source: Path, target: Path, digits_apart: bool) -> dict[str, Any]:
    """Build the tokenizer from the file's metadata, write it as JSON, and return what chats need besides.

    Byte-level byte-pair encoding, with each digit on its own where the model was trained so (GGUF pre-tokenizer
    "smollm"). Built once, because reading the metadata takes 2 s and reading the JSON 0.1 s.

    Returns:
        ``chat_template``: Jinja source; ``end``: ids of tokens that end a reply; ``special``: texts of control tokens.
    """
    import gguf
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    fields = gguf.GGUFReader(source).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    kinds: list[int] = fields["tokenizer.ggml.token_type"].contents()
    pairs = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    pieces: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits_apart else []
    pieces.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(target), pretty=False)
    end = {fields["tokenizer.ggml.eos_token_id"].contents()}
    end |= {tokens.index(token) for token in ("<|endoftext|>",) if token in special}
    return {
        "chat_template": fields["tokenizer.chat_template"].contents(),
        "end": sorted(end),
        "special": special,
    }
