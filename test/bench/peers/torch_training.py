"""Measuring server for training steps with transformers on torch: JSON lines in and out, as server.py.

    python torch_training.py --folder FOLDER --threads 1 [--bf16]

With --bf16 forward and backward run under autocast to bfloat16.

FOLDER holds `task.json` (what both sides train, written by training.mjs) and `weights.bin`, the first values of every
tensor that the task lists, float32, one after another. A command {"op": "step", "steps": N} takes N optimizer steps.
Forward, backward, clipping and fused AdamW are measured, building the batch is not.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig


class LoraLinear(nn.Module):
    """A frozen linear layer and its trained low-rank update, as peft computes it without dropout."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.scale * self.lora_B(self.lora_A(x))


def load(folder: Path, task: dict[str, Any]) -> nn.Module:
    """The model of the task with the weights of the folder."""
    model = AutoModelForCausalLM.from_config(LlamaConfig(**task["config"]), attn_implementation="sdpa").float()
    lora = task["lora"]
    if lora is not None:
        model.requires_grad_(False)
        for name, module in list(model.named_modules()):
            if name.rpartition(".")[2] in lora["targets"]:
                parent = model.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], LoraLinear(module, lora["rank"], lora["alpha"]))
    parameters = {name.replace(".base.", "."): value for name, value in model.named_parameters()}
    values = np.memmap(folder / "weights.bin", dtype="<f4", mode="r")
    offset = 0
    with torch.no_grad():
        for name in task["tensors"]:
            count = parameters[name].numel()
            part = np.array(values[offset : offset + count]).reshape(tuple(parameters[name].shape))
            parameters[name].copy_(torch.from_numpy(part))
            offset += count
    assert offset == values.size
    return model.train()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = json.loads((arguments.folder / "task.json").read_text())
    model = load(arguments.folder, task)
    trained = [p for p in model.parameters() if p.requires_grad]
    o = task["optimizer"]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": o["weightDecay"]},
            {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=o["rate"],
        betas=(o["beta1"], o["beta2"]),
        eps=o["epsilon"],
        fused=True,
    )
    ids = torch.tensor(task["ids"])
    hello = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "trained": sum(p.numel() for p in trained),
    }
    print(json.dumps({"hello": hello}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["op"] == "quit":
            break
        losses = []
        cpu = time.process_time()
        for _ in range(command["steps"]):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
                logits = model(ids, use_cache=False).logits[:, :-1]
                loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, o["clip"])
            optimizer.step()
            losses.append(loss.item())
        answer = {
            "cpu_seconds": time.process_time() - cpu,
            "losses": losses,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
