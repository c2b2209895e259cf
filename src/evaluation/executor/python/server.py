"""The executor's Python side: takes programs on standard input, answers with verdicts on standard output.

    server.py serve --scratch FOLDER [--strict] [--probe]   a fork server: each program in a forked child (Linux, macOS)
    server.py once --scratch FOLDER --role ROLE [--probe]   one program in this process, then the end (Windows)
                                                            ROLE: alone, judge, candidate

Frames are a length (4 bytes, little endian), a kind (1 byte) and a payload. The end of standard input ends everything.
`serve` confines itself before it takes a program, so its children are born confined and add only what it cannot bear itself.
It runs no program's code in its own process and compiles none; of a strict program's check it never sees a byte.

Runs on CPython 3.9 and later with the standard library alone.
"""

from __future__ import annotations

import os

# What random and threading do in every forked child (new seed, new locks) takes longer than the fork and most programs. This
# process has one thread and no lock is held, so there is nothing to mend; and the same seed for all makes runs repeatable.
_register_at_fork = getattr(os, 'register_at_fork', None)
if _register_at_fork:
    os.register_at_fork = lambda **hooks: None  # type: ignore[assignment]

import argparse
import gc
import importlib
import json
import random
import sys
import time
import types

import confine
import guard
import judge
import runner

try:
    import select
    import signal
    from select import POLLIN, poll
except ImportError:  # Windows
    pass

REQUESTS, ANSWERS = 0, 1  # descriptors; `main` moves both away before a program can read or print there
TICK = 50  # milliseconds between looks at what gives no event
SLEEPS = 20  # context switches of a program that only waits
GRACE = 0.5  # seconds a program has to end after it has passed

# Imported before the first fork, so that programs find them ready: what HumanEval, MBPP and most answers of models import.
COMMON = (
    'abc array base64 bisect cmath collections collections.abc copy contextlib dataclasses datetime decimal enum fractions '
    'functools hashlib heapq inspect io itertools json math numbers operator os os.path pprint queue random re statistics string '
    'struct sys textwrap threading time traceback typing unicodedata uuid warnings weakref zlib'
)


class Server:
    """Runs programs one after the other; each answer belongs to the request before it."""

    def __init__(self, strict: bool, confinement: confine.Confinement, install_guard) -> None:
        self._strict = strict
        self._confinement = confinement
        self._folder = os.path.join(confinement.scratch, 'job')
        self._install_guard = install_guard
        self._null = os.open(os.devnull, os.O_RDWR)
        self._checks: dict[str, types.CodeType] = {}
        self._buffer = bytearray(1 << 16)

    def serve(self) -> None:
        gc.collect()
        gc.freeze()  # a collection in a child then touches, and so copies, no page of what is here already
        while True:
            request = runner.read_frame(REQUESTS)
            if not request:
                return
            answer = self._answer(json.loads(request[1:]))
            runner.write_all(ANSWERS, runner.frame(runner.ENDED, json.dumps(answer).encode()))

    def _answer(self, job: dict) -> dict:
        check = None
        if not self._strict:
            check = self._checks.get(job['check'])
            if check is None:
                try:
                    check = runner.compiled(job['check'], runner.CHECK)
                except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                    return {'verdict': 'harness error', 'detail': 'the check does not compile: %s' % error}
                if len(self._checks) >= 64:
                    del self._checks[next(iter(self._checks))]
                self._checks[job['check']] = check  # the samples of a problem come one after the other
        os.mkdir(self._folder, 0o700)
        try:
            return _Run(self, job, check).answer()
        finally:
            confine.clear(self._folder, self._confinement.scratch)

    def become_program(self, job: dict, output: int, keep: tuple[int, ...]) -> bool:
        """In a fresh child: gives up the server's descriptors, puts on the layers. False if a layer fails."""
        os.dup2(self._null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        start = 3
        for descriptor in sorted(keep):
            os.closerange(start, descriptor)
            start = descriptor + 1
        os.closerange(start, confine.DESCRIPTORS)
        os.chdir(self._folder)
        # CPU seconds are the backstop for a program whose server is gone; the server's wall clock comes first.
        done = self._confinement.bear(job['memoryLimit'], int(job['timeLimit']) + 2)
        self._install_guard(self._folder)
        return done

    # What `_Run` needs of its server.
    @property
    def strict(self) -> bool:
        return self._strict

    @property
    def confinement(self) -> confine.Confinement:
        return self._confinement

    @property
    def buffer(self) -> bytearray:
        return self._buffer

    @property
    def folder(self) -> str:
        return self._folder


class _Run:
    """One program, from the fork to the verdict."""

    def __init__(self, server: Server, job: dict, check: types.CodeType | None) -> None:
        self._server = server
        self._job = job
        self._message = b''
        self._output: list[bytes] = []
        self._captured = 0
        self._ended: dict[int, tuple[int, float, int]] = {}  # status, CPU seconds and context switches by process
        self._reason = ''  # why we killed it
        self._candidate_killed = False  # after the judge had done with it
        self._started = time.monotonic()
        self._deadline = self._started + job['timeLimit']
        self._verdict, verdict = os.pipe()
        secret, self._secret_end = os.pipe()
        self._drain, output = os.pipe()
        self._secret = b''
        if not server.strict:
            self._main = self._fork_alone(check, verdict, secret, output)
            self._pids = [self._main]
        else:
            to_judge, from_candidate = os.pipe()
            to_candidate, from_judge = os.pipe()
            # The judge reads the check from our input itself, so that no later candidate finds it in memory forked from ours.
            self._candidate = self._fork_candidate(to_candidate, from_candidate, output)
            self._main = self._fork_judge(to_judge, from_judge, verdict, secret, output)
            self._pids = [self._main, self._candidate]
            for descriptor in (to_judge, from_candidate, to_candidate, from_judge):
                os.close(descriptor)
        for descriptor in (verdict, secret, output):
            os.close(descriptor)
        self._secret = os.urandom(runner.SECRET)  # made after the fork: no child inherits it
        try:
            os.write(self._secret_end, self._secret)
        except BrokenPipeError:
            pass
        os.close(self._secret_end)

    # --- the children: none of these returns in the child ---

    def _fork_alone(self, check, verdict: int, secret: int, output: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            job = self._job
            if self._server.become_program(job, output, (verdict, secret)):
                runner.run(job['candidate'], job['check'], check, verdict, secret)
            else:
                runner.write_all(verdict, runner.frame(runner.UNUSABLE, os.read(secret, runner.SECRET)))
            runner.flush()
        finally:
            os._exit(0)

    def _fork_candidate(self, read: int, write: int, output: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            if self._server.become_program(self._job, output, (read, write)):
                judge.serve_candidate(self._job['candidate'], read, write)
        finally:
            os._exit(0)

    def _fork_judge(self, read: int, write: int, verdict: int, secret_end: int, output: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            check = json.loads(runner.read_frame(REQUESTS)[1:])
            secret = os.read(secret_end, runner.SECRET)
            if self._server.become_program(self._job, output, (read, write, verdict)):
                judge.run_judge(check['check'], check['support'], check['entryPoint'], read, write, verdict, secret)
            else:
                runner.write_all(verdict, runner.frame(runner.UNUSABLE, secret))
            runner.flush()
        finally:
            os._exit(0)

    # --- the server's side ---

    def answer(self) -> dict:
        self._watch()
        self._reap()
        wall = time.monotonic() - self._started
        os.close(self._verdict)
        os.close(self._drain)
        answer = self._decide()
        # Something that got past the layers: this server has done its service.
        if self._server.confinement.kill_rest():
            answer['recycle'] = True
        answer['wallSeconds'] = wall
        answer['cpuSeconds'] = cpu = sum(seconds for _, seconds, _ in self._ended.values())
        if answer['verdict'] == 'timed out':
            # Not short of a processor: it had one all the time, or it slept and was hardly ever switched.
            slept = cpu < wall / 20 and all(switches <= SLEEPS for _, _, switches in self._ended.values())
            answer['starved'] = not (cpu > wall * 0.95 or slept)
        answer['output'] = b''.join(self._output).decode('utf-8', 'replace')
        return answer

    def _watch(self) -> None:
        """Until the program has closed its ends, or is killed."""
        poller = poll()
        poller.register(self._verdict, POLLIN)
        poller.register(self._drain, POLLIN)
        poller.register(REQUESTS, 0)  # only whether its other end is gone
        open_ends = 2
        while open_ends:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._kill('time')
                return
            events = poller.poll(min(left * 1000 + 1, TICK))
            if not events and self._look():
                return
            for descriptor, _ in events:
                if descriptor == self._drain:
                    count = os.readv(descriptor, [self._buffer()])
                    if count and self._captured < runner.CAPTURED:
                        part = bytes(self._buffer()[: min(count, runner.CAPTURED - self._captured)])
                        self._captured += len(part)
                        self._output.append(part)
                elif descriptor == self._verdict:
                    part = os.read(descriptor, 1 << 16)
                    count = len(part)
                    if len(self._message) < 1 << 16:
                        self._message += part
                    if self._passed():
                        self._deadline = min(self._deadline, time.monotonic() + GRACE)
                else:
                    self._kill('end')
                    os._exit(0)  # the executor is gone
                if not count:
                    poller.unregister(descriptor)
                    open_ends -= 1
                    if descriptor == self._verdict and self._server.strict:
                        self._finish_candidate()

    def _buffer(self) -> bytearray:
        return self._server.buffer

    def _passed(self) -> bool:
        return self._message == runner.PASSED + self._secret

    def _look(self) -> bool:
        """At what gives no event. True if there is nothing to wait for."""
        for pid in self._pids:
            if pid not in self._ended:
                self._wait(pid, os.WNOHANG)
        if self._main in self._ended:
            self._kill('rest')  # something else holds its ends
            return True
        confinement = self._server.confinement
        if confine.MAC and any(confine.resident(pid) > self._job['memoryLimit'] for pid in self._pids):
            self._kill('memory')
            return True
        if not confinement.bounded_scratch and confine.size_of(self._server.folder) > confine.SCRATCH:
            self._kill('disk')
            return True
        return False

    def _finish_candidate(self) -> None:
        """The judge is done. A candidate that the judge lost ends by itself; its end says why."""
        if self._message[4:5] == runner.LOST:
            until = min(self._deadline, time.monotonic() + GRACE)
            while not self._wait(self._candidate, os.WNOHANG) and time.monotonic() < until:
                time.sleep(0.001)
        if self._candidate not in self._ended:
            self._candidate_killed = True
            os.kill(self._candidate, signal.SIGKILL)

    def _kill(self, reason: str) -> None:
        self._reason = reason
        for pid in self._pids:
            if pid not in self._ended:
                os.kill(pid, signal.SIGKILL)

    def _wait(self, pid: int, flags: int) -> bool:
        found, status, usage = os.wait4(pid, flags)
        if found:
            self._ended[pid] = (status, usage.ru_utime + usage.ru_stime, usage.ru_nvcsw + usage.ru_nivcsw)
        return found != 0

    def _reap(self) -> None:
        for pid in self._pids:
            while pid not in self._ended and not self._wait(pid, os.WNOHANG):
                # Its ends are closed, so it is about to be gone, unless it closed them by hand.
                if time.monotonic() > self._deadline and not self._reason:
                    self._kill('time')
                time.sleep(0.0001)

    def _decide(self) -> dict:
        message, status = self._message, self._ended[self._main][0]
        if self._passed():
            return {'verdict': 'passed'}
        if message == runner.frame(runner.UNUSABLE, self._secret):
            return {'verdict': 'harness error', 'detail': 'a layer of the sandbox could not be put on', 'recycle': True}
        if self._reason == 'time':
            return {'verdict': 'timed out'}
        if self._reason == 'memory':
            return {'verdict': 'out of memory', 'detail': 'more than %d MiB in memory' % (self._job['memoryLimit'] >> 20)}
        if self._reason == 'disk':
            return {'verdict': 'failed', 'detail': 'more than %d MiB of files' % (confine.SCRATCH >> 20)}
        kind, payload = message[4:5], message[5:]
        if kind in (runner.FAILED, runner.OUT_OF_MEMORY):
            answer = {'verdict': 'failed' if kind == runner.FAILED else 'out of memory'}
            try:
                report = json.loads(payload)
                answer.update((key, str(report[key])) for key in ('detail', 'traceback') if key in report)
            except (ValueError, TypeError, RecursionError):
                pass
            return answer
        if kind == runner.LOST:
            status = self._ended[self._candidate][0]
            if self._candidate_killed or not os.WIFSIGNALED(status):
                said = payload[:100].decode('utf-8', 'replace')
                return {'verdict': 'failed', 'detail': "the candidate's process %s before the check had returned" % said}
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return {'verdict': 'timed out'}
            if number == signal.SIGKILL:
                return {'verdict': 'out of memory', 'detail': 'killed by the system', 'recycle': True}
            try:
                name = signal.Signals(number).name
            except ValueError:
                name = 'signal %d' % number
            return {'verdict': 'crashed', 'detail': name, 'recycle': True}
        return {'verdict': 'failed', 'detail': 'ended with exit status %d before the check had returned' % os.WEXITSTATUS(status)}


def once(role: str, confinement: confine.Confinement, install_guard) -> None:
    """One program in this process. The request, its secret and then, in strict mode, the other side's frames come on standard input."""
    job = json.loads(runner.read_frame(REQUESTS)[1:])
    folder = os.path.join(confinement.scratch, 'job')
    os.mkdir(folder)
    os.chdir(folder)
    if confine.WINDOWS:
        confine.limit_job_memory(job['memoryLimit'])
    secret = runner.read_exactly(REQUESTS, runner.SECRET) if role == 'judge' else b''
    install_guard(folder)
    if role == 'alone':
        try:
            check = runner.compiled(job['check'], runner.CHECK)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            secret = runner.read_exactly(REQUESTS, runner.SECRET)  # says that no program wrote this
            text = 'the check does not compile: %s' % error
            runner.write_all(ANSWERS, runner.frame(runner.UNUSABLE, secret + text.encode()))
            os._exit(0)
        runner.run(job['candidate'], job['check'], check, ANSWERS, REQUESTS)
    elif role == 'judge':
        judge.run_judge(job['check'], job['support'], job['entryPoint'], REQUESTS, ANSWERS, ANSWERS, secret)
    else:
        judge.serve_candidate(job['candidate'], REQUESTS, ANSWERS)
    runner.flush()
    used = time.process_time()
    runner.write_all(ANSWERS, runner.frame(runner.ENDED, json.dumps({'cpuSeconds': used}).encode()))
    os._exit(0)


def main() -> None:
    global REQUESTS, ANSWERS
    parser = argparse.ArgumentParser()
    parser.add_argument('mode', choices=('serve', 'once'))
    parser.add_argument('--scratch', required=True)
    parser.add_argument('--role', choices=('alone', 'judge', 'candidate'), default='alone')
    parser.add_argument('--strict', action='store_true')
    parser.add_argument('--probe', action='store_true')
    options = parser.parse_args()

    if os.name == 'nt':
        import msvcrt

        for descriptor in (0, 1, 2):
            msvcrt.setmode(descriptor, os.O_BINARY)  # type: ignore[attr-defined]
    REQUESTS, ANSWERS = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.path[:] = guard.library_folders_of_path()
    os.environ['TMPDIR'] = os.environ['HOME'] = os.path.join(options.scratch, 'job')

    install_guard = guard.prepare()
    confinement = confine.Confinement(options.scratch)
    confinement.enter(guard.library_folders())
    for name in COMMON.split():
        importlib.import_module(name)
    if options.probe:
        confinement.probe(install_guard)
    hello = {
        'version': '%d.%d.%d' % sys.version_info[:3],
        'implementation': sys.implementation.name,
        'executable': sys.executable,
        'layers': confinement.layers,
    }
    runner.write_all(ANSWERS, runner.frame(runner.HELLO, json.dumps(hello).encode()))

    # From here on, what a program could find of us by name is gone, and nothing but source is imported: the guard refuses
    # marshal, by which a program could make code objects that read memory.
    for name in ('confine', 'guard', 'judge', 'runner', 'codec', 'linux', 'ctypes', '_ctypes', 'argparse'):
        sys.modules.pop(name, None)
    sys.modules['__main__'] = types.ModuleType('__main__')
    sys.implementation.cache_tag = None  # type: ignore[misc, assignment]
    sys.argv = ['']
    if _register_at_fork:
        os.register_at_fork = _register_at_fork
    random.seed(0)
    runner.capture()
    if options.mode == 'serve':
        Server(options.strict, confinement, install_guard).serve()
        if not confinement.namespaces:  # else the outer process does it
            confine.remove(confine.scratch_folders(options.scratch))
    else:
        once(options.role, confinement, install_guard)


if __name__ == '__main__':
    main()
