"""Reference numbers of a GGUF model from transformers in fp32, for the engine's tests and benchmarks.

    reference.py --model M.gguf --humaneval HumanEval.jsonl.gz --out DIR

writes DIR/reference.json: greedy continuations, the NLL of canonical solutions, selected logits and
the prompts of the chat protocol. It also makes the committed fixture, from problems of our own:

    reference.py --model M.gguf --humaneval test/fixtures/engine/problems.jsonl --every 1 \
        --first 6 --max-new-tokens 64 --name smollm2-reference.json --out test/fixtures/engine

A full greedy run, in batches of rows padded on the left, one JSON line a problem:

    reference.py --model M.gguf --humaneval FILE --out DIR --humaneval-greedy --max-new-tokens 256
    reference.py --model M.gguf --out DIR --humaneval-greedy --prompts ids.jsonl

The second form takes lines `{"task_id", "ids"}` instead of the stripped prompts. Both write
DIR/greedy.jsonl with lines `{"task_id", "tokens", "margins"}`.

Conventions, which are part of the numbers:

* No BOS is added anywhere.
* Greedy: ids = encode(prompt.strip()), in reference.json for the first N problems and always
  --max-new-tokens long, also after an end-of-text token. In greedy.jsonl a row ends with its first
  end-of-text token (--eos), which is included.
* NLL: every eighth problem (0, 8, .. 152: 20 problems). ids = encode(prompt.rstrip()) followed by
  encode("\\n" + canonical_solution), where each token of the second part is scored given all before
  it; the mean is over tokens, not problems. Encoding prompt + solution in one go and scoring the
  last tokens is the same. For HumanEval that makes 990 tokens. (Encoding the raw prompt alone would
  break the token made of its last "\\n" and the indentation.)
* Margin: how far the chosen token's logit was above the second best. A different token where the
  margin is about 1e-4 is rounding; elsewhere it is an error.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
import numpy
import torch
import transformers
from tokenizers import Tokenizer
from transformers import DynamicCache, LlamaForCausalLM

from gguf_model import chat_template, load_model, load_tokenizer

Problem = dict[str, Any]

# The wording of EvalPlus for chat models.
INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown "
    "code block:\n```\n{prompt}\n```\n"
)
PREFILL = (
    "Below is a Python script with a self-contained function that solves the problem and passes "
    "corresponding tests:\n```python\n"
)


def read_jsonl(path: Path) -> list[Problem]:
    """Rows of a plain or gzip-compressed JSON-lines file."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids, without BOS."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


@torch.inference_mode()
def greedy(
    model: LlamaForCausalLM,
    prompts: Sequence[Sequence[int]],
    steps: int,
    eos: Iterable[int] = (),
) -> list[tuple[list[int], list[float]]]:
    """Tokens and margins for a batch of prompts, padded on the left; rows end after an eos token."""
    stop = set(eos)
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width + steps, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    padded = bool((mask == 0).any())
    positions = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
    results: list[tuple[list[int], list[float]]] = [([], []) for _ in prompts]
    running = set(range(len(prompts)))
    cache = DynamicCache(config=model.config)
    for step in range(steps):
        logits = model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask[:, : width + step] if padded else None,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        best = logits.topk(2, dim=-1)
        margins = (best.values[:, 0] - best.values[:, 1]).tolist()
        ids = best.indices[:, :1]
        for row in sorted(running):
            token = int(ids[row, 0])
            results[row][0].append(token)
            results[row][1].append(round(margins[row], 4))
            if token in stop:
                running.discard(row)
        if not running:
            break
        positions = positions[:, -1:] + 1
    return results


@torch.inference_mode()
def token_nll(model: LlamaForCausalLM, context: list[int], scored: list[int]) -> list[float]:
    """Negative log-likelihood of each token of `scored`, teacher-forced."""
    logits = model(torch.tensor([context + scored])).logits[0, len(context) - 1 : -1]
    logp = logits.double().log_softmax(-1)
    return [round(-float(logp[i, token]), 6) for i, token in enumerate(scored)]


@torch.inference_mode()
def logit_rows(
    model: LlamaForCausalLM, ids: list[int], rows: Iterable[int], top: int = 20
) -> list[dict[str, Any]]:
    """The largest logits and the log-sum-exp at some positions of one forward pass."""
    logits = model(torch.tensor([ids])).logits[0]
    found = []
    for row in sorted({row % len(ids) for row in rows}):
        best = logits[row].topk(top)
        found.append(
            {
                "position": row,
                "ids": best.indices.tolist(),
                "values": [round(value, 5) for value in best.values.tolist()],
                "logsumexp": round(float(logits[row].double().logsumexp(-1)), 6),
            }
        )
    return found


def chat_text(template: str, instruction: str, prefill: str) -> str:
    """One user message under the model's template, and the start of the answer."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    rendered = environment.from_string(template).render(
        messages=[{"role": "user", "content": instruction}], add_generation_prompt=True
    )
    return rendered + prefill


def rounded_mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)


def build_reference(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that reference.json holds."""
    problems = read_jsonl(options.humaneval)
    tokenizer = load_tokenizer(options.model)
    model = load_model(options.model)

    greedy_rows = []
    for problem in problems[: options.first]:
        ids = encode(tokenizer, problem["prompt"].strip())
        ((tokens, margins),) = greedy(model, [ids], options.max_new_tokens)
        greedy_rows.append(
            {"task_id": problem["task_id"], "ids": ids, "tokens": tokens, "margins": margins}
        )

    nll_rows = []
    for problem in problems[:: options.every][:20]:
        context = encode(tokenizer, problem["prompt"].rstrip())
        scored = encode(tokenizer, "\n" + problem["canonical_solution"])
        nll = token_nll(model, context, scored)
        nll_rows.append(
            {
                "task_id": problem["task_id"],
                "ids": context,
                "scored": scored,
                "nll": nll,
                "mean": rounded_mean(nll),
            }
        )
    every_nll = [value for row in nll_rows for value in row["nll"]]

    logit_problems = []
    for problem in problems[:2]:
        ids = encode(tokenizer, problem["prompt"].strip())
        rows = [0, 1, len(ids) // 4, len(ids) // 2, len(ids) - 2, len(ids) - 1]
        logit_problems.append(
            {"task_id": problem["task_id"], "ids": ids, "rows": logit_rows(model, ids, rows)}
        )

    chat_rows = []
    template = chat_template(options.model)
    for problem in problems[:3]:
        instruction = INSTRUCTION.format(prompt=problem["prompt"].strip())
        text = chat_text(template, instruction, PREFILL)
        chat_rows.append({"task_id": problem["task_id"], "ids": encode(tokenizer, text)})

    with options.model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "model": {"file": options.model.name, "sha256": digest},
        "made_with": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": numpy.__version__,
            "precision": "float32",
        },
        "greedy": {"prompt": "strip", "new_tokens": options.max_new_tokens, "rows": greedy_rows},
        "nll": {
            "tokens": len(every_nll),
            "mean": rounded_mean(every_nll),
            "context": "encode(prompt.rstrip())",
            "scored": "encode('\\n' + canonical_solution)",
            "rows": nll_rows,
        },
        "logits": logit_problems,
        "chat": {"instruction": INSTRUCTION, "prefill": PREFILL, "rows": chat_rows},
    }


def greedy_run(options: argparse.Namespace) -> None:
    """Continues every prompt and appends to greedy.jsonl; finished problems are not repeated."""
    if options.prompts is not None:
        prompts = {row["task_id"]: row["ids"] for row in read_jsonl(options.prompts)}
    else:
        tokenizer = load_tokenizer(options.model)
        prompts = {
            problem["task_id"]: encode(tokenizer, problem["prompt"].strip())
            for problem in read_jsonl(options.humaneval)
        }
    target = options.out / (options.name or "greedy.jsonl")
    done = {row["task_id"] for row in read_jsonl(target)} if target.exists() else set()
    # Similar lengths share a batch, so there is little padding.
    waiting = sorted((task for task in prompts if task not in done), key=lambda t: len(prompts[t]))
    model = load_model(options.model)
    begin = time.monotonic()
    with target.open("a") as file:
        for start in range(0, len(waiting), options.batch):
            tasks = waiting[start : start + options.batch]
            rows = greedy(model, [prompts[t] for t in tasks], options.max_new_tokens, options.eos)
            for task, (tokens, margins) in zip(tasks, rows, strict=True):
                row = {"task_id": task, "tokens": tokens, "margins": margins}
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
            file.flush()
            print(f"{start + len(tasks)}/{len(waiting)} {time.monotonic() - begin:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--humaneval", type=Path, help="problems, JSON lines, plain or gzip")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--name", help="file name (default: reference.json or greedy.jsonl)")
    parser.add_argument("--first", type=int, default=20, help="problems continued greedily")
    parser.add_argument("--every", type=int, default=8, help="stride of the problems scored by NLL")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--humaneval-greedy", action="store_true", help="continue all problems")
    parser.add_argument("--prompts", type=Path, help='lines {"task_id", "ids"} to continue instead')
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--eos", type=int, nargs="*", default=[0, 2], help="tokens that end a row")
    options = parser.parse_args()
    if options.humaneval is None and not (options.humaneval_greedy and options.prompts):
        parser.error("--humaneval is needed")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.humaneval_greedy:
        greedy_run(options)
        return
    reference = build_reference(options)
    target = options.out / (options.name or "reference.json")
    target.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    nll = reference["nll"]
    print(f"{target}: mean NLL {nll['mean']} over {nll['tokens']} tokens")


if __name__ == "__main__":
    main()
