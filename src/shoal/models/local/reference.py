"""The same weights in transformers, in 32-bit arithmetic: what the engine is compared with, and what can be trained.

Built from the GGUF file by hand, because transformers' own GGUF reader needs a further package.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def load_weights(weights: Path) -> Any:
    """The network of a GGUF file as one of transformers: float32, in evaluation mode.

    Args:
        weights: a GGUF file of the Llama architecture whose output layer is its embedding.
    """
    import gguf
    import torch
    from transformers import LlamaForCausalLM

    reader = gguf.GGUFReader(weights)
    network: Any = LlamaForCausalLM(_config(reader.fields))
    heads, shared_heads = network.config.num_attention_heads, network.config.num_key_value_heads
    state = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        kind = tensor.name.split(".")[-2]
        if kind in ("attn_q", "attn_k"):
            values = _unpermuted(values, heads if kind == "attn_q" else shared_heads)
        state[_name(tensor.name)] = torch.from_numpy(values)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    network.load_state_dict(state)
    return network.eval()


class Reference:
    """Greedy writing and log-probabilities by transformers in float32.

    Args:
        weights: a GGUF file of the Llama architecture whose output layer is its embedding.
    """

    def __init__(self, weights: Path) -> None:
        self._model = load_weights(weights)

    def write(self, prompts: Sequence[Sequence[int]], longest: int, end: Sequence[int]) -> list[list[int]]:
        """Greedy continuation of each prompt, in one batch padded on the left; the ending token is included."""
        import torch

        width = max(len(ids) for ids in prompts)
        padded = torch.tensor([[end[-1]] * (width - len(ids)) + list(ids) for ids in prompts])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
        with torch.no_grad():
            out = self._model.generate(
                padded, attention_mask=mask, max_new_tokens=longest, do_sample=False, eos_token_id=list(end)
            )
        return [_until_end(row[width:].tolist(), end) for row in out]

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probability of each token given those before it, from the second one on [len(ids) - 1]."""
        import torch

        with torch.no_grad():
            logits = self._model(torch.tensor([list(ids)])).logits[0, :-1].double()
        chosen = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(list(ids[1:]))[:, None])[:, 0]
        return np.asarray(chosen.numpy())


def _config(fields: Any) -> Any:
    from transformers import LlamaConfig

    def value(key: str) -> Any:
        return fields[key].contents()

    return LlamaConfig(
        vocab_size=value("llama.vocab_size"),
        hidden_size=value("llama.embedding_length"),
        intermediate_size=value("llama.feed_forward_length"),
        num_hidden_layers=value("llama.block_count"),
        num_attention_heads=value("llama.attention.head_count"),
        num_key_value_heads=value("llama.attention.head_count_kv"),
        rms_norm_eps=value("llama.attention.layer_norm_rms_epsilon"),
        rope_theta=value("llama.rope.freq_base"),
        max_position_embeddings=value("llama.context_length"),
        tie_word_embeddings=True,
        bos_token_id=value("tokenizer.ggml.bos_token_id"),
        eos_token_id=value("tokenizer.ggml.eos_token_id"),
        pad_token_id=value("tokenizer.ggml.padding_token_id"),
    )


def _name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, kind, _ = name.split(".")
    return f"model.layers.{layer}.{_NAMES[kind]}.weight"


def _unpermuted(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """GGUF pairs the two halves of a head's rotary dimensions; transformers keeps them apart."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _until_end(tokens: list[int], end: Sequence[int]) -> list[int]:
    for place, token in enumerate(tokens):
        if token in end:
            return tokens[: place + 1]
    return tokens
