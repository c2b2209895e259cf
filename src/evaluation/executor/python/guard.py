"""The audit hook that a program runs under: the one layer that every system gives.

It refuses, inside the interpreter, what the kernel's layers refuse again where there are any: processes, signals, sockets,
native memory, paths outside the program's own folder. Alone it stops mistakes and lazy cheating, not an attacker who finds
a memory-safety bug in the interpreter.

Knows nothing of verdicts or of where programs come from.
"""

from __future__ import annotations

import os
import sys

# A hook lives as long as its process and runs in the program's own thread, where the program can reach its frame through
# the traceback of a refusal. So it uses no global, no closure and no helper: everything is a constant of its code or a
# default argument, neither of which a frame gives write access to (PEP 667 made f_locals, closures included, writable).
_HOOK = '''
def hook(event, args, denied=denied, type=type, str=str, int=int, bytes=bytes, len=len, own=own, pid=pid,
         starts=str.startswith, ends=str.endswith, decode=bytes.decode, replace=str.replace, lower=str.lower):
    if event in {
        'os.fork', 'os.forkpty', 'os.exec', 'os.posix_spawn', 'os.spawn', 'os.system', 'os.startfile', 'os.startfile/2',
        'subprocess.Popen', 'pty.spawn', 'os.killpg', 'os.setxattr', 'os.removexattr',
        'os.putenv/native', 'signal.pthread_kill', 'os.mknod', 'os.mkfifo', 'os.chroot',
        '_posixsubprocess.fork_exec', '_winapi.CreateProcess', '_winapi.OpenProcess', '_winapi.TerminateProcess',
        '_winapi.CreateJunction', '_winapi.CreateNamedPipe', '_winapi.CreateFile',
        'socket.connect', 'socket.bind', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.gethostbyaddr',
        'socket.getnameinfo', 'socket.getservbyname', 'socket.sendto', 'socket.sendmsg', 'socket.sethostname',
        'webbrowser.open', 'urllib.Request', 'http.client.connect', 'syslog.openlog', 'syslog.syslog',
        'gc.get_objects', 'gc.get_referrers', 'gc.get_referents', 'code.__new__', 'marshal.load', 'marshal.loads',
        'sys._current_frames', 'sys._current_exceptions', 'sys.addaudithook', 'cpython.PyInterpreterState_New',
        'sys.remote_exec', 'os.symlink', 'os.link', 'resource.prlimit', 'mmap.__new__/shared',
    } or starts(event, ('ctypes.', 'winreg.')):
        raise denied(1, 'the sandbox forbids ' + event)
    if event == 'import':
        name, file = args[0], args[1]
        if name in {'_ctypes', 'ctypes', '_ctypes_test', '_testcapi', '_testinternalcapi', '_testlimitedcapi', '_testbuffer',
                    '_testmultiphase', '_testimportmultiple', '_testclinic', '_posixsubprocess', '_xxsubinterpreters',
                    '_interpreters', '_xxtestfuzz', 'xxlimited', 'xxlimited_35', '_remote_debugging'}:
            raise denied(1, 'the sandbox forbids to import ' + name)
        # The second argument is a path only where native code is about to be loaded.
        if file is not None and not (type(file) is str and starts(file, NATIVE)):
            raise denied(1, 'the sandbox forbids native modules of the program')
        return
    if event == 'os.kill':
        if args[0] != pid or type(args[0]) is not int:
            raise denied(1, 'the sandbox forbids signals to others')
        return
    if event == 'open':
        path, mode, flags = args
        if type(path) is int:
            return
        paths, writes = (path,), (type(flags) is not int or flags & WRITE_FLAGS != 0)
    elif event in {
        'os.remove', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.chmod', 'os.chown', 'os.lchown', 'os.lchmod', 'os.truncate',
        'os.utime', 'os.chflags', 'os.lchflags', 'shutil.rmtree', 'sqlite3.connect',
    }:
        if event in {'os.chmod', 'os.chown', 'os.utime', 'os.truncate', 'os.chflags'} and type(args[0]) is int:
            return
        paths, writes = args[:2] if event == 'os.rename' else args[:1], True
    elif event in {'os.listdir', 'os.scandir', 'os.chdir', 'os.listxattr', 'os.getxattr'}:
        if args[0] is None or type(args[0]) is int:
            return
        paths, writes = args[:1], event == 'os.chdir'
    else:
        return
    for path in paths:
        if type(path) is bytes:
            path = decode(path, 'utf-8', 'surrogateescape')
        if type(path) is not str:
            raise denied(13, 'the sandbox forbids ' + event + ' on a path that is no plain string')
        if FOLD:
            path = lower(replace(path, '/', '\\\\'))
            absolute = starts(path, '\\\\') or path[1:2] == ':'
            above = path == '..' or starts(path, '..\\\\') or '\\\\..' in path
        else:
            absolute = starts(path, '/')
            above = path == '..' or starts(path, '../') or '/..' in path
        if above or absolute and path != own[0] and not starts(path, own[1]) and not (
            path in DEVICES or not writes and (path in READ or starts(path, READ_BELOW))
        ):
            raise denied(13, 'the sandbox forbids ' + event + ' there', path)
'''


def library_folders() -> list[str]:
    """Folders of the interpreter's own library, absolute: what a program may read and load native code from."""
    folders = {path for path in library_folders_of_path() if os.path.isabs(path) and os.path.isdir(path)}
    folders.add(os.path.dirname(os.__file__))
    return sorted(folders | {os.path.realpath(folder) for folder in folders})


def library_folders_of_path() -> list[str]:
    """sys.path without the folder of our own modules."""
    own = os.path.dirname(os.path.abspath(__file__))
    return [path for path in sys.path if path and os.path.abspath(path) != own]


def prepare(denied: type = PermissionError):
    """Compiles the hook once, for a server to keep; the result installs it for a program whose folder is given."""
    fold = os.name == 'nt'
    separator = '\\' if fold else '/'

    def form(path: str) -> str:
        return path.replace('/', '\\').lower() if fold else path

    library = tuple(form(folder) for folder in library_folders())
    zones = () if fold else ('/usr/share/zoneinfo', '/etc/localtime')
    constants = {
        'NATIVE': tuple(folder + os.sep for folder in library_folders()),
        'READ': frozenset(library + zones),
        'READ_BELOW': tuple(folder + separator for folder in library + zones),
        'DEVICES': frozenset(('nul',)) if fold else frozenset(('/dev/null', '/dev/zero', '/dev/random', '/dev/urandom')),
        'WRITE_FLAGS': os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND,
        'FOLD': fold,
    }
    source = _HOOK
    for name in sorted(constants, key=len, reverse=True):
        value = constants[name]
        text = '{' + ', '.join(map(repr, sorted(value))) + '}' if isinstance(value, frozenset) else repr(value)
        source = source.replace(name, text)
    code = compile(source, '<sandbox>', 'exec')

    def install(folder: str) -> None:
        """For the rest of this process; `folder` is the program's own, absolute and resolved."""
        folder = form(folder)
        names = {'denied': denied, 'own': (folder, folder + separator), 'pid': os.getpid()}
        exec(code, names)
        hook = names.pop('hook')
        names.clear()  # the hook's globals: a frame shows them
        sys.addaudithook(hook)  # type: ignore[arg-type]

    return install
