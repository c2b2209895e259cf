"""Measuring server for transformers on torch; the commands are in server.py.

    transformers_.py --model M.gguf [--threads 1] [--precision float32|bfloat16]

The GGUF's weights are dequantised. The cache is a DynamicCache, attention is torch's
scaled_dot_product_attention, and all rows of a batch run in one call. No torch.compile.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import DynamicCache

from gguf_model import load_model
from server import Clock, measured, serve


class Transformers:
    """The peer."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        torch.set_num_threads(options.threads)
        torch.set_num_interop_threads(1)
        transformers.logging.set_verbosity_error()
        self.model = load_model(options.model).to(getattr(torch, options.precision))

    def hello(self) -> dict[str, Any]:
        return {
            "peer": "transformers",
            "version": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "system": f"{torch.backends.cpu.get_cpu_capability()}, "
            f"MKL {torch.backends.mkl.is_available()}, oneDNN {torch.backends.mkldnn.is_available()}",
            "build": "wheel",
            "weights": f"{self.options.precision}, dequantised",
            "kv": self.options.precision,
            "threads": self.options.threads,
            "attention": self.model.config._attn_implementation,
        }

    def forward(self, ids: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Runs new tokens [rows, length] and gives the greedy next ones [rows, 1]."""
        output = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1:].argmax(-1)

    @torch.inference_mode()
    def prefill(self, ids: list[int], repeat: int) -> Clock:
        tensor = torch.tensor([ids])
        self.forward(tensor, DynamicCache(config=self.model.config))
        with measured() as clock:
            for _ in range(repeat):
                self.forward(tensor, DynamicCache(config=self.model.config))
        return clock

    @torch.inference_mode()
    def decode(self, prompts: list[list[int]], steps: int) -> tuple[Clock, list[list[int]]]:
        tensor = torch.tensor(prompts)

        def start() -> tuple[DynamicCache, list[torch.Tensor]]:
            cache = DynamicCache(config=self.model.config)
            return cache, [self.forward(tensor, cache)]

        def advance(cache: DynamicCache, outputs: list[torch.Tensor], count: int) -> None:
            for _ in range(count):
                outputs.append(self.forward(outputs[-1], cache))

        advance(*start(), min(steps, 4))
        cache, outputs = start()
        with measured() as clock:
            advance(cache, outputs, steps)
        return clock, torch.cat(outputs, 1).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    serve(lambda: Transformers(options))


if __name__ == "__main__":
    main()
