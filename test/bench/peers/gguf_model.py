"""Loads a Llama-family GGUF into transformers in fp32: the yardstick for the engine's numbers.

transformers has a GGUF reader of its own, which this file avoids on purpose: its tokenizer
conversion drops the digit split of the "smollm" pre-tokenizer, so some prompts get other tokens.

Two facts about the format matter here:

* the q and k projections are stored with the two halves of a head interleaved, so row (half h, i)
  of a Hugging Face head is row 2 i + h of the GGUF head;
* dimensions are listed innermost first; `gguf.dequantize` returns rows in the usual order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}

# Token types of the GGUF specification that are matched in the text before it is split.
_CONTROL, _USER_DEFINED = 3, 4


def metadata(reader: GGUFReader) -> dict[str, Any]:
    """All key-value pairs of the file, decoded."""
    return {name: field.contents() for name, field in reader.fields.items()}


def hugging_face_name(name: str) -> str:
    """`blk.3.attn_q.weight` becomes `model.layers.3.self_attn.q_proj.weight`."""
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    prefix, layer, part, kind = name.split(".")
    if prefix != "blk":
        raise ValueError(f"unknown tensor {name}")
    return f"model.layers.{layer}.{_LAYER_NAMES[part]}.{kind}"


def deinterleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a q or k projection from GGUF order to Hugging Face order."""
    rows = weight.shape[0]
    return (
        weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:])
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )


def load_model(path: Path) -> LlamaForCausalLM:
    """The model with every weight dequantised to fp32."""
    reader = GGUFReader(path)
    meta = metadata(reader)
    if meta["general.architecture"] != "llama":
        raise ValueError(f"{path}: architecture {meta['general.architecture']} is not llama")
    heads = int(meta["llama.attention.head_count"])
    kv_heads = int(meta["llama.attention.head_count_kv"])
    hidden = int(meta["llama.embedding_length"])
    tied = not any(tensor.name == "output.weight" for tensor in reader.tensors)
    config = LlamaConfig(
        vocab_size=len(meta["tokenizer.ggml.tokens"]),
        hidden_size=hidden,
        intermediate_size=int(meta["llama.feed_forward_length"]),
        num_hidden_layers=int(meta["llama.block_count"]),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        max_position_embeddings=int(meta["llama.context_length"]),
        rms_norm_eps=float(meta["llama.attention.layer_norm_rms_epsilon"]),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": float(meta["llama.rope.freq_base"]),
        },
        tie_word_embeddings=tied,
        bos_token_id=int(meta["tokenizer.ggml.bos_token_id"]),
        eos_token_id=int(meta["tokenizer.ggml.eos_token_id"]),
        attn_implementation="sdpa",
    )
    state: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if ".attn_q." in tensor.name:
            weight = deinterleave(weight, heads)
        elif ".attn_k." in tensor.name:
            weight = deinterleave(weight, kv_heads)
        state[hugging_face_name(tensor.name)] = torch.from_numpy(np.ascontiguousarray(weight))
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    # The tensors are taken over as they are: copies would show in the resident memory.
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    if unexpected or [name for name in missing if not (tied and name == "lm_head.weight")]:
        raise ValueError(f"{path}: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    # The rotary embedding's buffers are not stored, and are still on the meta device.
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    return model.eval()


def load_tokenizer(path: Path) -> Tokenizer:
    """The byte-level BPE of a `gpt2` GGUF with the `smollm` pre-tokenizer; adds no BOS."""
    meta = metadata(GGUFReader(path))
    kind = (meta["tokenizer.ggml.model"], meta["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"{path}: tokenizer {kind} is not ('gpt2', 'smollm')")
    tokens: list[str] = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = meta["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, type_ in zip(tokens, types, strict=True)
            if type_ in (_CONTROL, _USER_DEFINED)
        ]
    )
    return tokenizer


def chat_template(path: Path) -> str:
    """The Jinja template stored in the file."""
    return str(metadata(GGUFReader(path))["tokenizer.chat_template"])
