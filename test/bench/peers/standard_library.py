"""PyTorch's side of standardLibrary.mjs: LoRA by peft on the rows, the base and the first adapters that our side wrote.

    python standard_library.py --folder FOLDER --threads 1

A row holds several snippets, which must not see each other: the mask is block-diagonal and causal, and positions begin
anew with each. Prints a JSON line a step.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM


class Rows:
    """Packed rows as tensors: ids, segments, positions, each [rows, context]; segment 0 is padding."""

    def __init__(self, values: np.ndarray) -> None:
        self.ids, self.segments, self.positions = (torch.from_numpy(values[:, i].astype(np.int64)) for i in range(3))

    def loss(self, model: nn.Module, first: int, count: int) -> tuple[torch.Tensor, int]:
        """Sum of the losses of the targets, and how many there are."""
        ids, segments = self.ids[first : first + count], self.segments[first : first + count]
        length = ids.shape[1]
        sees = (segments[:, :, None] == segments[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)[:, None]
        positions = self.positions[first : first + count]
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        is_target = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        losses = nn.functional.cross_entropy(logits[:, :-1][is_target], ids[:, 1:][is_target], reduction="sum")
        return losses, int(is_target.sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = arguments.folder
    task = json.loads((folder / "peer.json").read_text())
    rows, steps, context = task["rows"], task["steps"], task["context"]
    values = np.fromfile(folder / "rows.bin", dtype="<i4").reshape(-1, 3, context)
    train, held_out = Rows(values[: steps * rows]), Rows(values[steps * rows :])
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, attn_implementation="sdpa")
    model = PeftModel.from_pretrained(base, folder / "adapters", is_trainable=True).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    o = task["optimizer"]
    optimizer = torch.optim.AdamW(
        trained, betas=(o["beta1"], o["beta2"]), eps=o["epsilon"], weight_decay=o["weightDecay"], fused=True
    )

    def say(**row: object) -> None:
        print(json.dumps(row), flush=True)

    def held_out_loss() -> float:
        total, targets = 0.0, 0
        with torch.no_grad():
            for first in range(0, task["heldOutRows"], rows):
                loss, count = held_out.loss(model, first, rows)
                total += loss.item()
                targets += count
        return total / targets

    started = time.process_time()
    say(step=0, heldOut=held_out_loss(), trained=sum(p.numel() for p in trained))
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = task["rates"][step - 1]
        optimizer.zero_grad(set_to_none=True)
        loss, count = train.loss(model, (step - 1) * rows, rows)
        (loss / count).backward()
        norm = nn.utils.clip_grad_norm_(trained, task["clip"])
        optimizer.step()
        say(step=step, loss=loss.item() / count, gradientNorm=norm.item())
        if step % task["every"] == 0 or step == steps:
            say(step=step, heldOut=held_out_loss())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(done=True, cpuSeconds=time.process_time() - started, peakMb=peak)


if __name__ == "__main__":
    main()
