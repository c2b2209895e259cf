/**
 * Programs that attack the executor: their verdict, their server, the machine. Each is a wrong answer to the check, so none may pass,
 * but for the three known ways to cheat while candidate and check share an interpreter, which pass in normal mode and are marked.
 */
import type { Verdict } from '../../../src/evaluation/types.ts';

export interface Hostile {
  readonly name: string;
  readonly candidate: string;
  /** Defines what a wrong program must not get past; by default `assert f(1) == 2`. */
  readonly check?: string;
  /** What may come out, in normal and in strict mode. */
  readonly normal: readonly Verdict[];
  readonly strict: readonly Verdict[];
}

const failed: readonly Verdict[] = ['failed'];
const timedOut: readonly Verdict[] = ['timed out'];
const anyLoss: readonly Verdict[] = ['failed', 'timed out', 'crashed', 'out of memory'];

function both(name: string, verdicts: readonly Verdict[], candidate: string, check?: string): Hostile {
  return { name, candidate, normal: verdicts, strict: verdicts, ...(check === undefined ? {} : { check }) };
}

/** `CANARY` in a program is the path of a file that must not be read or changed. */
export const hostile: readonly Hostile[] = [
  // --- forging the verdict by ending the process ---
  both('sys.exit(0) at once', failed, 'import sys\nsys.exit(0)'),
  both('sys.exit(0) when called', failed, 'import sys\ndef f(x): sys.exit(0)'),
  both('os._exit(0) at once', failed, 'import os\nos._exit(0)'),
  both('os._exit(0) when called', failed, 'import os\ndef f(x): os._exit(0)'),
  both(
    'raise SystemExit from __del__',
    failed,
    'class A:\n  def __del__(self): raise SystemExit(0)\nA()\ndef f(x): return 1',
  ),
  both('os._exit(0) from atexit', failed, 'import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 1'),
  both('os.abort', ['crashed'], 'import os\ndef f(x): os.abort()'),
  both('a signal to itself', ['crashed'], 'import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGTERM)'),
  both('SIGSTOP to itself', timedOut, 'import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)'),

  // --- forging the message ---
  both(
    'writes "passed" and guesses to every descriptor',
    anyLoss,
    `
import os
def f(x):
    for fd in range(256):
        for text in (b'passed', b'\\x21\\0\\0\\0P' + b'\\0' * 32, b'\\x01\\0\\0\\0v', b'{"verdict":"passed"}'):
            try: os.write(fd, text)
            except OSError: pass
    return 1`,
  ),
  both('closes every descriptor', anyLoss, 'import os\nos.closerange(0, 256)\ndef f(x): return 1'),
  {
    name: 'closes every descriptor and waits',
    normal: timedOut,
    strict: failed,
    candidate: 'import os\nos.closerange(0, 256)\nwhile True: pass',
  },
  both(
    'reads every descriptor for the secret and sends it back',
    anyLoss,
    `
import os, fcntl
found = b''
for fd in range(3, 256):
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        found += os.read(fd, 4096)
    except OSError: pass
for fd in range(3, 256):
    for length in (16, 32, 64):
        try: os.write(fd, b'\\x21\\0\\0\\0P' + found[:length])
        except OSError: pass
def f(x): return 1`,
  ),
  both(
    'looks for the secret in all frames',
    failed,
    `
import sys, os
def f(x):
    found = []
    frame = sys._getframe()
    while frame:
        for names in (frame.f_locals, frame.f_globals):
            for value in list(names.values()):
                if isinstance(value, (bytes, bytearray)) and len(value) >= 16: found.append(bytes(value))
        frame = frame.f_back
    for fd in range(3, 64):
        for secret in found:
            try: os.write(fd, b'\\x21\\0\\0\\0P' + secret[:32])
            except OSError: pass
    return 1`,
  ),
  both(
    'looks for the secret through a traceback',
    failed,
    `
import os
try: 1 / 0
except ZeroDivisionError as error: trace = error.__traceback__
frame, found = trace.tb_frame, []
while frame:
    found += [value for value in frame.f_locals.values() if type(value) is bytes]
    frame = frame.f_back
for fd in range(3, 64):
    for secret in found:
        try: os.write(fd, b'\\x21\\0\\0\\0P' + secret[:32])
        except OSError: pass
def f(x): return 1`,
  ),
  both(
    'looks for the secret on the stacks of frames by gc',
    failed,
    `
import gc, sys, os
def f(x):
    frame, found = sys._getframe(), []
    while frame:
        found += [value for value in gc.get_referents(frame) if type(value) is bytes]
        frame = frame.f_back
    for fd in range(3, 64):
        for secret in found:
            try: os.write(fd, b'\\x21\\0\\0\\0P' + secret[:32])
            except OSError: pass
    return 1`,
  ),
  both('looks for the secret by gc.get_objects', failed, 'import gc\ndef f(x):\n  gc.get_objects()\n  return 1'),
  both(
    'rebinds names in the frames below',
    failed,
    `
import sys
frame = sys._getframe().f_back
while frame:
    for name in list(frame.f_locals):
        try: frame.f_locals[name] = compile('pass', 'x', 'exec')
        except Exception: pass
    frame = frame.f_back
def f(x): return 1`,
  ),
  both(
    'jumps past the check by a trace function',
    anyLoss,
    `
import sys
def trace(frame, event, arg):
    try: frame.f_lineno = frame.f_lineno + 1
    except Exception: pass
    return trace
frame = sys._getframe()
while frame:
    frame.f_trace = trace
    frame = frame.f_back
sys.settrace(trace)
def f(x): raise ValueError`,
  ),
  both('sys.setprofile', failed, 'import sys\nsys.setprofile(lambda *a: None)\ndef f(x): return 1'),
  both('an audit hook of its own', failed, 'import sys\nsys.addaudithook(lambda *a: None)\ndef f(x): return 1'),
  both(
    'rewrites the refusing hook by the traceback of a refusal',
    failed,
    `
import os
try: os.system('true')
except BaseException as error:
    trace = error.__traceback__
    while trace:
        frame = trace.tb_frame
        if frame.f_code.co_filename == '<sandbox>':
            for name in list(frame.f_locals):
                try: frame.f_locals[name] = lambda *a: False
                except Exception: pass
            frame.f_globals.clear()
            frame.f_builtins.clear() if hasattr(frame, 'f_builtins') and frame.f_builtins is not __builtins__ else None
        trace = trace.tb_next
import gc
gc.get_objects()
def f(x): return 1`,
  ),
  both(
    'replaces exec, map, filter and os.write',
    failed,
    'import builtins, os\nfor n in ("exec", "map", "filter", "compile"): setattr(builtins, n, lambda *a: [])\nos.write = os.read = lambda *a: b""\ndef f(x): return 1',
  ),
  both(
    'replaces json, struct and traceback',
    failed,
    'import json, struct, traceback, linecache\njson.dumps = lambda *a: "passed"\nstruct.pack = lambda *a: b""\ntraceback.TracebackException = None\ndef f(x): return 1',
  ),
  both(
    'an exception that prints as passed',
    failed,
    'class E(Exception):\n  def __str__(self): return "passed"\ndef f(x): raise E()',
  ),
  both(
    'an exception that exits when printed',
    failed,
    'import os\nclass E(Exception):\n  def __str__(self): os._exit(0)\ndef f(x): raise E()',
  ),
  both(
    'an exception that never prints',
    timedOut,
    'class E(Exception):\n  def __str__(self):\n    while True: pass\ndef f(x): raise E()',
  ),
  both(
    'an import hook',
    failed,
    'import sys\nclass H:\n  def find_spec(self, *a): raise SystemExit(0)\nsys.meta_path.insert(0, H())\ndef f(x):\n  import no_such\n  return 2',
  ),
  both(
    'replaces our modules by name',
    failed,
    'import sys, types\nfor n in list(sys.modules):\n  if n in ("runner", "judge", "__main__", "guard"): sys.modules[n].__dict__.clear()\nimport runner\ndef f(x): return 1',
  ),
  both(
    'a code object made by hand',
    failed,
    'def g(): pass\ng.__code__ = g.__code__.replace(co_code=b"\\x01" * 64)\ng()\ndef f(x): return 2',
  ),
  both(
    'a code object from marshal',
    failed,
    'import marshal\ng = marshal.loads(marshal.dumps(compile("1", "", "eval")))\ndef f(x): return 2',
  ),
  both(
    'a check of its own before ours',
    failed,
    'def check(c): pass\ndef f(x): return 1',
    'def check(c):\n  assert c(1) == 2\ncheck(f)',
  ),
  both(
    'an AssertionError that is none',
    failed,
    'import builtins\nclass A(Exception): pass\nbuiltins.AssertionError = A\ndef f(x): return 1',
  ),
  both(
    'sends nonsense to the judge',
    failed,
    'import os\ndef f(x):\n  for fd in range(3, 32):\n    try: os.write(fd, b"\\x05\\0\\0\\0v####")\n    except OSError: pass\n  return 1',
  ),

  // --- known cheats: an interpreter shared with the check cannot stop them; strict mode does ---
  {
    name: 'equal to everything',
    normal: ['passed'],
    strict: failed,
    candidate: 'class A:\n  def __eq__(self, other): return True\ndef f(x): return A()',
  },
  {
    name: 'a patched builtin',
    normal: ['passed'],
    strict: failed,
    candidate: 'import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return 99.0',
    check: 'assert abs(f(1) - 2) < 1e-6',
  },
  {
    name: 'reads the answer from the check',
    normal: ['passed'],
    strict: failed,
    candidate: 'import sys\ndef f(x): return [c for c in sys._getframe(1).f_code.co_consts if type(c) is int][-1]',
  },
  {
    name: 'an int equal to everything',
    normal: ['passed'],
    strict: failed,
    candidate:
      'class A(int):\n  def __eq__(self, other): return True\n  __hash__ = int.__hash__\ndef f(x): return A(1)',
  },
  {
    name: 'a list equal to everything',
    normal: ['passed'],
    strict: failed,
    candidate: 'class A(list):\n  def __eq__(self, other): return True\ndef f(x): return [A()]',
    check: 'assert f(1) == [[2]]',
  },
  {
    name: 'a global in place of a builtin',
    normal: ['passed'],
    strict: failed,
    candidate: 'def abs(x): return 0\ndef f(x): return 99',
    check: 'assert abs(f(1) - 2) < 1e-6',
  },
  {
    name: 'a patched math',
    normal: ['passed'],
    strict: failed,
    candidate: 'import math\nmath.isclose = lambda *a, **k: True\ndef f(x): return 99',
    check: 'import math\nassert math.isclose(f(1), 2)',
  },
  {
    name: "a helper of its own in place of the prompt's",
    normal: ['passed'],
    strict: failed,
    candidate: 'def poly(a, b): return 0\ndef f(x): return 99',
    check: 'assert poly(f(1), 2) == 0',
  },

  // --- processes and signals ---
  both('fork', failed, 'import os\nos.fork()\ndef f(x): return 1'),
  both(
    'a fork bomb that catches errors',
    anyLoss,
    'import os\ndef f(x):\n  while True:\n    try: os.fork()\n    except BaseException: pass',
  ),
  both('subprocess', failed, 'import subprocess\nsubprocess.run(["touch", "CANARY"])\ndef f(x): return 1'),
  both('os.system', failed, 'import os\nos.system("echo bad > CANARY")\ndef f(x): return 1'),
  both('os.execv', failed, 'import os\ndef f(x): os.execv("/bin/sh", ["sh", "-c", "echo bad > CANARY"])'),
  both(
    'multiprocessing',
    failed,
    'import multiprocessing\np = multiprocessing.Process(target=print)\np.start()\ndef f(x): return 1',
  ),
  both('kills its parent', failed, 'import os\nos.kill(os.getppid(), 9)\ndef f(x): return 1'),
  both('kills everything', failed, 'import os\ndef f(x): os.kill(-1, 9)'),
  both('kills its group', failed, 'import os\ndef f(x): os.killpg(0, 9)'),
  both(
    'kills a thousand processes',
    failed,
    'import os\nfor pid in range(1, 1000):\n  if pid != os.getpid():\n    try: os.kill(pid, 9)\n    except OSError: pass\ndef f(x): return 1',
  ),
  both(
    'ignores all signals and loops',
    timedOut,
    'import signal\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\ndef f(x):\n  while True: pass',
  ),
  both(
    'a thread that outlives it',
    failed,
    'import threading\ndef g():\n  while True: pass\nthreading.Thread(target=g).start()\ndef f(x): return 1',
  ),
  both(
    'a thousand threads',
    anyLoss,
    'import threading, time\nfor _ in range(1000): threading.Thread(target=time.sleep, args=(100,)).start()\ndef f(x): return 1',
  ),

  // --- memory, time, output ---
  both('allocates without end', ['out of memory'], 'def f(x):\n  a = []\n  while True: a.append(bytearray(10 ** 8))'),
  both('one huge allocation', ['out of memory'], 'def f(x): return bytearray(10 ** 12)'),
  both('a huge int', anyLoss, 'def f(x): return 9 ** 9 ** 9'),
  both('a huge string by doubling', anyLoss, 'def f(x):\n  s = "x"\n  while True: s += s'),
  both(
    'raises its memory limit',
    ['failed', 'out of memory'],
    'import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\ndef f(x): return bytearray(10 ** 11)',
  ),
  both('an endless loop', timedOut, 'def f(x):\n  while True: pass'),
  both(
    'an endless loop that catches everything',
    timedOut,
    'def f(x):\n  while True:\n    try:\n      while True: pass\n    except BaseException: pass',
  ),
  both('an endless loop at once', timedOut, 'while True: pass'),
  both(
    'an endless loop in C',
    timedOut,
    'import itertools, collections\ndef f(x): collections.deque(itertools.repeat(1), 0)',
  ),
  both(
    'a catastrophic regular expression',
    timedOut,
    'import re\ndef f(x): return re.match(r"(a+)+$", "a" * 60 + "b")',
  ),
  both('sleeps', timedOut, 'import time\ndef f(x): time.sleep(1000)'),
  both('waits for input', failed, 'def f(x): return input()'),
  both(
    'a lock never released',
    timedOut,
    'import threading\ndef f(x):\n  l = threading.Lock()\n  l.acquire()\n  l.acquire()',
  ),
  both('prints without end', timedOut, 'def f(x):\n  while True: print("x" * 1000)'),
  both('writes to descriptor 1 without end', timedOut, 'import os\ndef f(x):\n  while True: os.write(1, b"x" * 65536)'),
  both('deep recursion', failed, 'def f(x): return f(x)'),
  both(
    'deep recursion without a limit',
    anyLoss,
    'import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n  def __repr__(self): return repr(self)\ndef f(x): return repr(A())',
  ),
  both('a deeply nested source', anyLoss, `def f(x): return ${'('.repeat(5000)}1${')'.repeat(5000)}`),
  both('a deeply nested value', anyLoss, 'def f(x):\n  a = []\n  for _ in range(10 ** 6): a = [a]\n  return a'),
  both('no Python at all', failed, '\0\x01\x02 not python ['),
  both('a crash of the interpreter', anyLoss, 'import ctypes\nctypes.string_at(0)\ndef f(x): return 1'),
  both(
    'a crash through what is left of ctypes',
    anyLoss,
    'c = [c for c in object.__subclasses__() if c.__name__ == "_CData"]\nfor s in c[0].__subclasses__() if c else []: s.from_address(8)\ndef f(x): return 1',
  ),
  both('faulthandler._sigsegv', ['crashed'], 'import faulthandler\ndef f(x): faulthandler._sigsegv()'),

  // --- files ---
  both('reads a file outside', failed, 'open("CANARY").read()\ndef f(x): return 2'),
  both(
    'reads a file outside by os.open',
    failed,
    'import os\nos.read(os.open("CANARY", os.O_RDONLY), 10)\ndef f(x): return 2',
  ),
  both('writes a file outside', failed, 'open("CANARY", "w").write("bad")\ndef f(x): return 2'),
  both('removes a file outside', failed, 'import os\nos.remove("CANARY")\ndef f(x): return 2'),
  both('changes the mode of a file outside', failed, 'import os\nos.chmod("CANARY", 0)\ndef f(x): return 2'),
  both('truncates a file outside', failed, 'import os\nos.truncate("CANARY", 0)\ndef f(x): return 2'),
  both(
    'goes up from its folder',
    failed,
    'import os\nos.chdir("../../../../..")\nopen("etc/passwd").read()\ndef f(x): return 2',
  ),
  both(
    'a symbolic link outside',
    failed,
    'import os\nos.symlink("CANARY", "link")\nopen("link", "w").write("bad")\ndef f(x): return 2',
  ),
  both(
    'a hard link outside',
    failed,
    'import os\nos.link("CANARY", "link")\nopen("link", "w").write("bad")\ndef f(x): return 2',
  ),
  both('lists the root', failed, 'import os\nos.listdir("/")\ndef f(x): return 2'),
  both('/proc/self/mem', failed, 'open("/proc/self/mem", "r+b").read(1)\ndef f(x): return 2'),
  both('/proc of its parent', failed, 'import os\nopen("/proc/%d/environ" % os.getppid()).read()\ndef f(x): return 2'),
  both('a file descriptor by /proc', failed, 'open("/proc/self/fd/1").read()\ndef f(x): return 2'),
  both(
    'a path that lies about itself',
    failed,
    'class S(str):\n  def startswith(self, *a): return True\nopen(S("CANARY")).read()\ndef f(x): return 2',
  ),
  both(
    'fills the disk',
    anyLoss,
    'def f(x):\n  n = 0\n  while True:\n    n += 1\n    open(str(n), "wb").write(b"x" * 10 ** 7)',
  ),
  both(
    'a hundred thousand files',
    anyLoss,
    'def f(x):\n  for n in range(10 ** 5): open(str(n), "w").close()\n  return 1',
  ),
  both('folders without end', anyLoss, 'import os\ndef f(x):\n  while True:\n    os.mkdir("d")\n    os.chdir("d")'),
  both(
    'folders without rights',
    failed,
    'import os\nos.umask(0o777)\nos.makedirs("a/b/c") if False else os.mkdir("a")\nopen("b", "w").close()\ndef f(x): return 1',
  ),
  both(
    'native code of its own',
    failed,
    'open("evil.so", "wb").write(b"\\x7fELF" + b"\\0" * 100)\nimport importlib.machinery, importlib.util\nl = importlib.machinery.ExtensionFileLoader("evil", "./evil.so")\nl.create_module(importlib.util.spec_from_loader("evil", l))\ndef f(x): return 2',
  ),

  // --- network and kernel ---
  both('a socket', failed, 'import socket\ns = socket.socket()\ns.connect(("127.0.0.1", 80))\ndef f(x): return 2'),
  both('a name look-up', failed, 'import socket\nsocket.getaddrinfo("localhost", 80)\ndef f(x): return 2'),
  both('a URL', failed, 'import urllib.request\nurllib.request.urlopen("http://127.0.0.1/")\ndef f(x): return 2'),
  both(
    'limits of its parent',
    failed,
    'import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))\ndef f(x): return 2',
  ),
  both(
    'ptrace by ctypes',
    failed,
    'import ctypes, os\nctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\ndef f(x): return 2',
  ),
  both('becomes root', failed, 'import os\nos.setuid(1)\nos.setuid(0)\nos.chroot("/")\ndef f(x): return 2'),
];
