"""Measuring server for llama.cpp; the commands are in server.py.

    llamacpp.py --model M.gguf [--threads 1] [--flash-attention auto|on|off] [--kv-unified]

The weights stay as they are in the file (llama.cpp repacks them for the processor), the KV cache is
f16, and the greedy token is the argmax of the logits that llama_decode leaves in its buffer.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from server import Clock, measured, serve

FLASH_ATTENTION = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}


@llama_cpp.llama_log_callback
def _silent(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """Keeps the loader's log off the terminal."""


class Context:
    """A llama_context for so many sequences of so many tokens, with a batch that fits."""

    def __init__(self, options: argparse.Namespace, model: Any, streams: int, length: int) -> None:
        self.streams, self.length = streams, length
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = streams * length
        params.n_seq_max = streams
        params.n_batch = max(512, length)
        params.n_threads = params.n_threads_batch = options.threads
        params.flash_attn_type = FLASH_ATTENTION[options.flash_attention]
        params.kv_unified = options.kv_unified
        params.no_perf = True
        self.handle = llama_cpp.llama_init_from_model(model, params)
        if not self.handle:
            raise RuntimeError(f"no context for {streams} x {length} tokens")
        self.memory = llama_cpp.llama_get_memory(self.handle)
        vocabulary = llama_cpp.llama_model_get_vocab(model)
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self.batch = llama_cpp.llama_batch_init(max(params.n_batch, streams), 0, 1)

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(self.memory, False)

    def run(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Decodes (token, position, sequence, whether its logits are wanted) rows."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        if (code := llama_cpp.llama_decode(self.handle, batch)) != 0:
            raise RuntimeError(f"llama_decode gave {code}")

    def prompt(self, ids: list[int], sequence: int) -> int:
        """Runs a prompt from position 0 and gives its greedy next token."""
        last = len(ids) - 1
        self.run([(token, i, sequence, i == last) for i, token in enumerate(ids)])
        return self.best(1)[0]

    def best(self, rows: int) -> list[int]:
        """The most likely token of each of the rows whose logits were wanted."""
        logits = llama_cpp.llama_get_logits(self.handle)
        table = np.ctypeslib.as_array(logits, shape=(rows * self.vocabulary_size,))
        return table.reshape(rows, self.vocabulary_size).argmax(axis=1).tolist()

    def close(self) -> None:
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.handle)


class LlamaCpp:
    """The peer."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p())
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(options.model).encode(), params)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {options.model}")
        self.context: Context | None = None

    def hello(self) -> dict[str, Any]:
        note = Path(sys.prefix, "llama-build.txt")
        description = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self.model, description, 256)
        return {
            "peer": "llama.cpp",
            "version": f"llama-cpp-python {llama_cpp.__version__}",
            "system": llama_cpp.llama_print_system_info().decode().strip(),
            "build": note.read_text().strip() if note.exists() else "unknown",
            "weights": description.value.decode(),
            "kv": "f16",
            "threads": self.options.threads,
            "flash_attention": self.options.flash_attention,
            "kv_unified": self.options.kv_unified,
            "ubatch": llama_cpp.llama_context_default_params().n_ubatch,
        }

    def fitting(self, streams: int, length: int) -> Context:
        """A context of the shape, rounded up to what llama.cpp allocates anyway."""
        length = -(-length // 256) * 256
        context = self.context
        if context is None or (context.streams, context.length) != (streams, length):
            if context is not None:
                context.close()
            self.context = context = Context(self.options, self.model, streams, length)
        context.clear()
        return context

    def prefill(self, ids: list[int], repeat: int) -> Clock:
        context = self.fitting(1, len(ids))
        context.prompt(ids, 0)
        with measured() as clock:
            for _ in range(repeat):
                context.clear()
                context.prompt(ids, 0)
        return clock

    def decode(self, prompts: list[list[int]], steps: int) -> tuple[Clock, list[list[int]]]:
        length = len(prompts[0])
        context = self.fitting(len(prompts), length + steps)

        def start() -> list[list[int]]:
            context.clear()
            return [[context.prompt(ids, sequence)] for sequence, ids in enumerate(prompts)]

        def advance(outputs: list[list[int]], count: int) -> None:
            for step in range(count):
                position = length + step
                context.run([(row[-1], position, i, True) for i, row in enumerate(outputs)])
                for row, token in zip(outputs, context.best(len(outputs)), strict=True):
                    row.append(token)

        advance(start(), min(steps, 4))
        outputs = start()
        with measured() as clock:
            advance(outputs, steps)
        return clock, outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--flash-attention", choices=list(FLASH_ATTENTION), default="auto")
    parser.add_argument("--kv-unified", action="store_true", help="one KV buffer for all sequences")
    options = parser.parse_args()
    serve(lambda: LlamaCpp(options))


if __name__ == "__main__":
    main()
