"""Loads the exports that exports.mjs has made in transformers, peft and llama.cpp, and compares logits and tokens.

    python exports.py --folder FOLDER

Writes `loaded.json`: for each export and library the largest difference of a logit, the root mean square of the difference
as a part of that of the logits, and whether the tokens of a few texts are the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llama_cpp import Llama
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def transformers_logits(model: Any, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0].float().numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    task = json.loads((folder / "expected.json").read_text())
    exports, scored = task["exports"], task["scored"]

    def logits_of(name: str) -> np.ndarray:
        return np.fromfile(folder / name, dtype="<f4").reshape(len(scored), -1)

    trained = logits_of("logits.bin")
    rows: list[dict[str, Any]] = []

    def compare(
        by: str,
        form: str,
        logits: np.ndarray,
        encode: Callable[[str], list[int]] | None,
        expected: np.ndarray = trained,
    ) -> None:
        difference = logits - expected
        tokens = None if encode is None else [encode(text) for text in task["texts"]] == task["ids"]
        rows.append(
            {
                "by": by,
                "format": form,
                "largest": float(np.abs(expected).max()),
                "apart": float(np.abs(difference).max()),
                "rms": float(np.sqrt((difference**2).mean() / (expected**2).mean())),
                "tokens": tokens,
            }
        )

    def load(path: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)

    # AutoTokenizer gives every model of type qwen2 Qwen's own way of cutting words, whatever its tokenizer.json says.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(exports["hf"])
    compare(
        "transformers",
        "hf",
        transformers_logits(load(exports["hf"]), scored),
        lambda text: tokenizer.encode(text, add_special_tokens=False),
    )
    adapted = PeftModel.from_pretrained(load(task["base"]), exports["peft"])
    compare("peft", "peft", transformers_logits(adapted, scored), None)
    compare("peft, merged", "peft", transformers_logits(adapted.merge_and_unload(), scored), None)
    for form in ("gguf-f16", "gguf-q8_0"):
        # type_k, type_v: the cache in float32 (0), so that only the weights are rounded.
        model = Llama(
            exports[form], n_ctx=256, n_threads=1, logits_all=True, verbose=False, type_k=0, type_v=0, n_gpu_layers=0
        )
        model.eval(scored)
        logits = np.array(model.scores[: len(scored)])
        compare(
            "llama.cpp",
            form,
            logits,
            lambda text, model=model: model.tokenize(text.encode(), add_bos=False, special=False),
        )
        # Weights as they are rounded in the file: what is left is the arithmetic.
        compare("it, our read", form, logits, None, logits_of(f"{form}.bin"))
        model.close()
    (folder / "loaded.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
