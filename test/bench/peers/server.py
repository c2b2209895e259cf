"""What the peers' measuring servers share: JSON lines in and out, and the clocks.

The first line out is `{"hello": {..}}`: the peer, its version and every setting that matters. Then a
line in gives a line out; `id`, where given, comes back. Commands:

    {"op": "prefill", "tokens": 256, "repeat": R}
        R prompts of that many tokens, one after the other, from an empty cache each; logits of the
        last token only.
    {"op": "decode", "streams": S, "context": 64, "steps": 128}
        S sequences with a cache of `context` tokens (filled outside the measured time), then `steps`
        greedy tokens for each, all sequences in one batch.
    {"op": "quit"}

`ids` (prefill: a list; decode: a list for each stream, equally long) sets the prompts, which are
otherwise arbitrary but fixed. `"return_tokens": true` adds `outputs`: for each stream the steps + 1
tokens after its prompt, the first of which comes from the prefill and is neither timed nor counted.

The answer is `{"tokens", "cpu_seconds", "wall_seconds", "rss_mb", "peak_rss_mb"}` or `{"error"}`.
CPU seconds are user and system time of all threads of the process within the measured part. Every
command is run once in small before it is measured.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO


@dataclass
class Clock:
    """Filled in when the measured block ends."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


@contextmanager
def measured() -> Iterator[Clock]:
    """Measures a block."""
    clock = Clock()
    cpu, wall = time.process_time(), time.perf_counter()
    yield clock
    clock.cpu_seconds = time.process_time() - cpu
    clock.wall_seconds = time.perf_counter() - wall


class Peer(Protocol):
    """An engine that is measured. Both methods warm up on their own."""

    def hello(self) -> dict[str, Any]: ...

    def prefill(self, ids: list[int], repeat: int) -> Clock: ...

    def decode(self, prompts: list[list[int]], steps: int) -> tuple[Clock, list[list[int]]]: ...


def memory() -> dict[str, float]:
    """Resident megabytes now and at most; nothing where the system does not say."""
    names = {"VmRSS:": "rss_mb", "VmHWM:": "peak_rss_mb"}
    found: dict[str, float] = {}
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                field, _, rest = line.partition("\t")
                if field in names:
                    found[names[field]] = round(int(rest.split()[0]) / 1024, 1)
    except OSError:
        pass
    return found


def arbitrary_ids(row: int, length: int) -> list[int]:
    """Fixed ordinary tokens that differ between rows."""
    return [1000 + (row * 7919 + i * 4729) % 20000 for i in range(length)]


def answer(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    """Carries out one command."""
    if command["op"] == "prefill":
        ids = command.get("ids") or arbitrary_ids(0, int(command["tokens"]))
        repeat = int(command.get("repeat", 1))
        clock = peer.prefill(ids, repeat)
        return {"tokens": len(ids) * repeat, **vars(clock), **memory()}
    if command["op"] == "decode":
        prompts = command.get("ids") or [
            arbitrary_ids(row, int(command["context"])) for row in range(int(command["streams"]))
        ]
        if len({len(prompt) for prompt in prompts}) != 1:
            raise ValueError("the prompts must be equally long")
        steps = int(command["steps"])
        clock, outputs = peer.decode(prompts, steps)
        result = {"tokens": len(prompts) * steps, **vars(clock), **memory()}
        return result | ({"outputs": outputs} if command.get("return_tokens") else {})
    raise ValueError(f"unknown op {command['op']}")


def serve(make: Callable[[], Peer]) -> None:
    """Answers commands until the input ends."""
    # Whatever a library prints goes to stderr.
    channel: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(value: dict[str, Any]) -> None:
        channel.write(json.dumps(value, separators=(",", ":")) + "\n")
        channel.flush()

    peer = make()
    say({"hello": {**peer.hello(), "python": platform.python_version(), **memory()}})
    for line in sys.stdin:
        command: dict[str, Any] = {}
        try:
            command = json.loads(line)
            if command.get("op") == "quit":
                return
            result = answer(peer, command)
        except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as e:
            result = {"error": f"{type(e).__name__}: {e}"}
        say(result | ({"id": command["id"]} if "id" in command else {}))
