"""Strict mode: the check runs in a judge, the candidate in a process of its own, and only plain data passes between.

Whatever the candidate does to its interpreter, it does to its own: the judge compares values that it built itself. What is
no plain data (functions, iterators, objects of the candidate's classes) is represented in the judge by a `Remote`, which
compares by identity and does no arithmetic, so that no method of the candidate takes part in a comparison.

Knows nothing of processes or verdicts beyond writing one.
"""

from __future__ import annotations

import builtins
import importlib
import os

import runner
from codec import Decoder, Encoder, Malformed

# Passed by name, in both directions: types and functions without effects.
_SHARED = [
    getattr(builtins, name)
    for name in (
        'int float str bool list tuple dict set frozenset bytes bytearray complex range object len abs min max sum sorted '
        'any all ord chr hex bin oct round pow divmod repr reversed enumerate zip map filter Ellipsis NotImplemented'
    ).split()
]
_SHARED_NUMBER = {id(value): number for number, value in enumerate(_SHARED)}

# How a judge names what crosses as a number: an object of the sender's, one of the receiver's own, or a shared builtin.
_MINE, _YOURS, _BUILTIN = b'$', b'@', b'#'

_OPERATIONS = {
    'call': lambda target, args, named: target(*args, **named),
    'get': lambda target, args, named: getattr(target, *args),
    'set': lambda target, args, named: setattr(target, *args),
    'iter': lambda target, args, named: iter(target),
    'next': lambda target, args, named: next(target),
    'len': lambda target, args, named: len(target),
    'item': lambda target, args, named: target[args[0]],
    'put': lambda target, args, named: target.__setitem__(*args),
    'in': lambda target, args, named: args[0] in target,
    'str': lambda target, args, named: str(target),
    'repr': lambda target, args, named: repr(target),
    'bool': lambda target, args, named: bool(target),
}

_EXCEPTIONS = {
    name: value for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}


class Remote:
    """An object of the other process. Equal to itself only."""

    __slots__ = ('_peer', '_number')

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, '_peer', peer)
        object.__setattr__(self, '_number', number)

    def __call__(self, *args, **named):
        return self._peer.ask('call', self._number, args, named)

    def __getattr__(self, name):
        if name[:2] == '__' and name not in ('__name__', '__doc__', '__dict__'):
            raise AttributeError(name)  # no protocol of copy, pickle or numbers is taken part in
        return self._peer.ask('get', self._number, (name,))

    def __setattr__(self, name, value):
        self._peer.ask('set', self._number, (name, value))

    def __iter__(self):
        return self._peer.ask('iter', self._number)

    def __next__(self):
        return self._peer.ask('next', self._number)

    def __len__(self):
        return self._peer.ask('len', self._number)

    def __getitem__(self, key):
        return self._peer.ask('item', self._number, (key,))

    def __setitem__(self, key, value):
        self._peer.ask('put', self._number, (key, value))

    def __contains__(self, value):
        return self._peer.ask('in', self._number, (value,)) is True

    def __str__(self):
        return _text(self._peer.ask('str', self._number))

    def __repr__(self):
        return _text(self._peer.ask('repr', self._number))

    def __bool__(self):
        return self._peer.ask('bool', self._number) is True


def _text(value) -> str:
    return value if type(value) is str else ''


class Peer:
    """One end of the channel. Either side may ask while it is being asked: calls nest as they do in one process."""

    def __init__(self, read: int, write: int, trusting: bool, lost) -> None:
        """`trusting`: does whatever it is asked (the candidate's side). The judge lets only calls and iteration happen to
        what it handed over, since any attribute of a function leads to its globals. `lost(reason)` must not return: a bare
        `except` in the check may not catch the end of the candidate."""
        self._read, self._write = read, write
        self._trusting = trusting
        self._lost = lost
        self._exported: list = []
        self._numbers: dict[int, int] = {}
        self._remotes: dict[int, Remote] = {}
        self.names: dict = {}  # the candidate's globals
        self.sources: dict[str, str] = {}  # for tracebacks

    # --- values ---

    def _export(self, value) -> tuple[bytes, int]:
        if type(value) is Remote:
            return _YOURS, value._number
        shared = _SHARED_NUMBER.get(id(value))
        if shared is not None:
            return _BUILTIN, shared
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._exported)
            self._exported.append(value)  # kept for good: the number must not pass to another object
        return _MINE, number

    def _import(self, tag: bytes, number: int):
        if tag == _MINE:
            remote = self._remotes.get(number)
            if remote is None:
                remote = self._remotes[number] = Remote(self, number)
            return remote
        if tag == _YOURS and number < len(self._exported):
            return self._exported[number]
        if tag == _BUILTIN and number < len(_SHARED):
            return _SHARED[number]
        raise Malformed('an unknown tag or number')

    # --- messages ---

    def _send(self, kind: bytes, payload: bytes) -> None:
        runner.flush()  # the judge may end this process as soon as it has its answer
        try:
            runner.write_all(self._write, runner.frame(kind, payload))
        except OSError:
            self._lost('ended')

    def _receive(self) -> bytes:
        message = runner.read_frame(self._read)
        if not message:
            self._lost('ended')
        return message

    def ask(self, operation: str, target: int, args: tuple = (), named: dict | None = None):
        """Has the other side do something, and gives its result or raises its exception."""
        encoder = Encoder(self._export)
        encoder.value((operation, target))
        encoder.value(args)
        encoder.value(named or {})
        table = encoder.table
        self._send(b'a', encoder.bytes())
        return self.answer(table)

    def answer(self, table: list):
        """Serves the other side until it answers; `table` are the containers it was given, whose changes come back."""
        while True:
            message = self._receive()
            if message[:1] == b'a':
                self._serve(message[1:])
                continue
            try:
                decoder = Decoder(message[1:], self._import, list(table))
                if decoder.value() is True:
                    for container in table:
                        decoder.fill(container)
                value = decoder.value()
                error = None if message[:1] == b'v' else _rebuilt(value)
            except MemoryError:
                raise
            except Exception:
                self._lost('sent what is no answer')
            if error is None:
                return value
            raise error

    def serve(self) -> None:
        """Answers until the other side is gone."""
        while True:
            self._serve(self._receive()[1:])

    def _serve(self, request: bytes) -> None:
        table: list = []
        body = b''
        try:
            decoder = Decoder(request, self._import, table)
            operation, target = decoder.value()
            start = decoder.at
            args, named = decoder.value(), decoder.value()
            body = request[start:] if table else b''
            result = self._do(operation, target, args, named)
            kind = b'v'
        except BaseException as error:
            if not self._trusting and not isinstance(error, Exception):
                raise
            kind, result = b'x', _taken_apart(error, self.sources)
        given = list(table)
        changed = False
        if given:
            again = Encoder(self._export)
            try:
                again.value(args)
                again.value(named)
                changed = again.bytes() != body
            except Exception:
                changed = True
        encoder = Encoder(self._export, given)
        count = len(given)
        encoder.value(changed)
        if changed:
            for container in given[:count]:
                encoder.content(container)
        encoder.value(result)
        self._send(kind, encoder.bytes())

    def _do(self, operation: str, target: int, args: tuple, named: dict):
        if self._trusting and operation == 'names':
            return {name: self.names[name] for name in args[0] if name in self.names}
        value = self._exported[target]
        if not self._trusting and operation not in ('call', 'iter', 'next', 'len', 'item'):
            # Attributes of an instance of a class that the check defined; its class comes from exec, so no module has it.
            if operation != 'get' or args[0][:1] == '_' or type(value).__module__ != 'builtins' or not _is_instance(value):
                raise TypeError('the judge does not do that')
        return _OPERATIONS[operation](value, args, named)


def _is_instance(value) -> bool:
    """Of a class written in Python, and no class itself."""
    return not isinstance(value, type) and bool(type(value).__flags__ & 1 << 9)


def _taken_apart(error: BaseException, sources: dict[str, str]) -> tuple:
    """Names of the exception's classes, its arguments, its text, and its traceback as text."""
    described = runner.describe(error, sources)
    try:
        args = tuple(error.args)
        Encoder(lambda value: (_ for _ in ()).throw(TypeError())).value(args)  # plain data only
    except BaseException:
        args = (described['detail'],)
    classes = [kind.__name__ for kind in type(error).__mro__]
    return classes, args, described['detail'], described['traceback']


def _rebuilt(parts) -> BaseException:
    """The exception again, of the same builtin class, or of a new class with its name under its nearest builtin base."""
    classes, args, text, trace = parts
    base = next((_EXCEPTIONS[name] for name in classes if name in _EXCEPTIONS), Exception)
    name = classes[0]
    kind = base if name in _EXCEPTIONS else type(name, (base,), {'__module__': 'builtins'})
    try:
        error = kind(*args)
        if str(error) != text and '\n' not in text and len(text) < 1000:
            error = kind(text)
    except Exception:
        error = RuntimeError(text)
    error.candidate_traceback = str(trace)[:8000]  # type: ignore[attr-defined]
    return error


# --- the two processes ---


def serve_candidate(source: str, read: int, write: int) -> None:
    """The candidate's process: runs its source, then does what the judge asks, until the judge is gone."""
    peer = Peer(read, write, trusting=True, lost=lambda reason: os._exit(0))
    peer.sources = {runner.CANDIDATE: source}
    kind, outcome = b'v', None
    try:
        exec(runner.compiled(source, runner.CANDIDATE), peer.names)
    except BaseException as error:
        kind, outcome = b'x', _taken_apart(error, peer.sources)
    ready = Encoder(peer._export)
    ready.value(False)
    ready.value(outcome)
    peer._send(kind, ready.bytes())
    peer.serve()


def run_judge(check: str, support: str, entry_point: str, read: int, write: int, verdict: int, secret: bytes) -> None:
    """The judge's process: `support` is trusted source that the check may need (HumanEval's prompt with its helpers)."""

    def lost(reason: str) -> None:
        runner.write_all(verdict, runner.frame(runner.LOST, reason.encode()))
        os._exit(0)

    try:
        peer = Peer(read, write, trusting=False, lost=lost)
        code = runner.compiled(check, runner.CHECK)
        names: dict = {}
        if support:
            exec(runner.compiled(support, runner.SUPPORT), names)
            names.pop(entry_point, None)
        peer.answer([])  # the candidate's source has been run
        wanted = {name for name in _wanted(code) if name not in names and not hasattr(builtins, name)} | {entry_point}
        for name in (wanted & _MODULES) - {entry_point}:
            names[name] = importlib.import_module(name)  # the judge's own: never one that the candidate made up
            wanted.discard(name)
        # What is missing stays missing: a NameError when the check comes to it, as in one process.
        found = peer.ask('names', 0, (sorted(wanted),))
        names.update((name, found[name]) for name in wanted if name in found)
        exec(code, names)
        os.write(verdict, runner.PASSED + secret)
    except BaseException as error:
        runner.report(verdict, error, {runner.CHECK: check, runner.SUPPORT: support})


_MODULES = frozenset(
    'math cmath re sys collections itertools functools operator string random copy heapq bisect datetime decimal fractions '
    'statistics typing json array time'.split()
)


def _wanted(code) -> set[str]:
    """Every name that the check may look up in its globals (and attributes, which do no harm)."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            names |= _wanted(constant)
    return names
