"""The layers round a program, as far as this system gives them: put on, then tested, then reported by name.

`Confinement.enter` is for the server, once; what it does is inherited by every program. `Confinement.bear` is for the process of
one program, right after the fork. `Confinement.probe` has a throwaway process try what each layer forbids: a layer counts as in force
only if the attempt failed for that layer's reason.

Knows nothing of programs and verdicts.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SCRATCH = 64 << 20  # bytes that a program may write, all files together where there is a file system for it
DESCRIPTORS = 256
NOBODY = 65534

LINUX, MAC, WINDOWS = sys.platform.startswith('linux'), sys.platform == 'darwin', os.name == 'nt'

if LINUX:
    import linux
if MAC or WINDOWS:
    import ctypes


def clear(folder: str, beside: str) -> None:
    """Removes a folder and what is in it, however deep: subfolders are first moved to `beside`, so no path gets long."""
    pending, moved = [folder], 0
    while pending:
        current = pending.pop()
        try:
            entries = list(os.scandir(current))
        except PermissionError:
            entries = []  # made without rights; then nothing could be put in it
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            moved += 1
            target = os.path.join(beside, 'gone-%d' % moved)
            try:
                os.rename(entry.path, target)
            except PermissionError:
                os.rmdir(entry.path)
            else:
                pending.append(target)
        os.rmdir(current)


def size_of(folder: str) -> int:
    """Bytes of the files in a folder, for systems where nothing else bounds them."""
    total, pending = 0, [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


class Confinement:
    def __init__(self, scratch: str) -> None:
        self.scratch = scratch
        self.layers: list[dict] = []
        self.namespaces = False
        self.bounded_scratch = False
        self._no_processes = False  # the kernel takes filters: a program without one is not run
        self._filter = None
        self._limits: list[tuple[int, int]] = []

    def _report(self, name: str, in_force: bool, detail: str) -> None:
        self.layers.append({'name': name, 'inForce': in_force, 'detail': detail})

    # --- the server ---

    def enter(self, readable: list[str]) -> None:
        """Confines this process and all it will fork. `readable`: folders that programs may read. May fork and leave the outer
        process waiting: what follows then runs in the inner one."""
        if resource:
            _limit(resource.RLIMIT_CORE, 0)
            _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
            _limit(resource.RLIMIT_FSIZE, SCRATCH)
        if LINUX:
            self._enter_linux(readable)
        elif MAC:
            if os.getuid() != 0:
                self._limits.append((resource.RLIMIT_NPROC, 1))
            self._report('file limits', True, 'at most %d MiB a file, %d descriptors, no core dumps' % (SCRATCH >> 20, DESCRIPTORS))
            self._report('memory watch', True, 'resident memory is looked at every 50 ms: macOS does not hold RLIMIT_AS')
        elif WINDOWS:
            self._enter_windows()

    def _enter_linux(self, readable: list[str]) -> None:
        if not linux.SUPPORTED:
            self._report('seccomp and Landlock', False, 'known here for 64-bit x86 and ARM only, this is ' + linux.MACHINE)
        self._leave_root(readable)
        self._enter_namespaces()
        attempts = [
            ('no capabilities', linux.drop_capabilities, 'no right of root is left, whoever started this'),
            ('no new privileges', linux.gain_nothing_by_exec, 'no set-uid program gives any back'),
            ('hidden memory', linux.hide_memory, 'programs cannot trace the server or read its memory'),
            ('orphans adopted', linux.adopt_orphans, 'what a program leaves running is found and killed'),
        ]
        if linux.SUPPORTED:
            libraries = ['/usr/lib', '/lib', '/lib64', '/usr/local/lib', '/usr/share/zoneinfo', '/etc/localtime', '/etc/ld.so.cache']
            devices = ['/dev/null', '/dev/zero', '/dev/random', '/dev/urandom', '/dev/full']
            attempts += [
                (
                    'Landlock',
                    lambda: linux.restrict_files(readable + libraries, [self.scratch, *devices]),
                    'files: the Python library can be read, the scratch folder written, nothing else opened'
                    + ('; no TCP' if linux.landlock_version() >= 4 else ''),
                ),
                ('seccomp', lambda: _must(linux.server_filter().install()), 'no exec, sockets, tracing, mounts, keys, chmod or bpf'),
            ]
        for name, attempt, detail in attempts:
            try:
                attempt()
                self._report(name, True, detail)
            except OSError as error:
                self._report(name, False, str(error))
        if linux.SUPPORTED:
            self._filter = linux.program_filter()
            self._no_processes = any(layer['name'] == 'seccomp' and layer['inForce'] for layer in self.layers)

    def _leave_root(self, readable: list[str]) -> None:
        if os.getuid() != 0:
            self._report('own user', True, 'not run by root')
            return

        def can_read() -> bool:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            for folder in readable:
                os.listdir(folder)
            os.stat(self.scratch)  # it may lie where only root can go
            return os.access(os.__file__, os.R_OK)

        possible = _in_child(can_read)
        if possible is True:
            for folder in (self.scratch, os.path.dirname(self.scratch)):
                os.chown(folder, NOBODY, NOBODY)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            linux.die_with_parent()  # changing the user forgets it
            linux.show_memory()  # and closes /proc/self, which the namespaces need
            self._report('own user', True, 'started by root, runs as user %d' % NOBODY)
        else:
            self._report(
                'own user',
                False,
                'started by root, and another user cannot run it with the library in %s (%s): start as an ordinary user, or use a Python '
                'that all users can read; limits on the number of processes do not bind root' % (os.path.dirname(os.__file__), possible or 'not readable'),
            )

    def _enter_namespaces(self) -> None:
        def attempt(mounts: bool) -> bool | str:
            linux.enter_namespaces()
            if mounts:
                linux.mount_scratch(self.scratch, SCRATCH)
                try:
                    os.mkdir(self.scratch + '-probe')
                except OSError as error:
                    return error.errno == errno.EROFS
                os.rmdir(self.scratch + '-probe')
                return False
            return True

        possible = _in_child(lambda: attempt(False))
        mounts = _in_child(lambda: attempt(True)) if possible is True else possible
        if possible is not True:
            self._report('namespaces', False, 'this system forbids user namespaces: %s' % possible)
            return
        network = os.readlink('/proc/self/ns/net')
        folders = scratch_folders(self.scratch)  # opened before the mounts that the outer process shares are read-only
        linux.enter_namespaces()
        if mounts is True:
            linux.mount_scratch(self.scratch, SCRATCH)
            self.bounded_scratch = True
        apart = os.readlink('/proc/self/ns/net') != network
        inner = os.fork()
        if inner:
            _wait_outside(inner, self.scratch, folders)
        for descriptor, _ in folders:
            os.close(descriptor)
        linux.die_with_parent()
        self.namespaces = os.getpid() == 1
        self._report('namespaces', self.namespaces and apart, 'processes, network and IPC of its own: no process outside is seen, no network is there')
        self._report(
            'read-only files',
            mounts is True,
            'all file systems read-only but a scratch of %d MiB in memory' % (SCRATCH >> 20) if mounts is True else str(mounts),
        )

    def _enter_windows(self) -> None:
        try:
            _enter_job_object()
            self._report('job object', True, 'no process of its own, ends with the executor')
        except OSError as error:
            self._report('job object', False, str(error))

    # --- a program ---

    def bear(self, memory: int, seconds: int) -> bool:
        """What only a program bears: `memory` bytes of address space, `seconds` of CPU. False where a layer that the server
        reported cannot be put on."""
        if resource:
            if not MAC:
                _limit(resource.RLIMIT_AS, memory)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            for kind, value in self._limits:
                _limit(kind, value)
        if LINUX:
            if not self.namespaces:
                linux.die_with_parent()
                os.setsid()
            if self._filter is not None:
                return self._filter.install(os.getpid()) or not self._no_processes
        return True

    def kill_rest(self) -> bool:
        """Ends whatever a program left running. False if there was nothing."""
        found = False
        for _ in range(1000):
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            found = True
            if pid:
                continue
            if self.namespaces:
                os.kill(-1, signal.SIGKILL)  # all but this process, which is the first of its namespace
            else:
                try:
                    with open('/proc/self/task/%d/children' % os.getpid()) as children:
                        for child in children.read().split():
                            os.kill(int(child), signal.SIGKILL)
                except OSError:
                    pass
        return found

    # --- the test ---

    def probe(self, install_guard) -> None:
        """Tests in throwaway processes, and corrects the report by what was found."""
        os.mkdir(self.scratch + '/probe')
        if resource and not MAC:
            limit = 256 << 20
            checks = [
                ('memory limit', lambda: bytearray(2 * limit), MemoryError, (), 'address space is limited for each program'),
                ('file limits', _write_too_much, OSError, (errno.EFBIG,), 'at most %d MiB a file, %d descriptors, no core dumps' % (SCRATCH >> 20, DESCRIPTORS)),
            ]
            for name, attempt, kind, codes, detail in checks:
                outcome = _in_child(lambda: self._tried(limit, attempt, kind, *codes))
                self._report(name, outcome is True, detail if outcome is True else 'not held by this system: %s' % outcome)
        if LINUX and self._filter is not None:
            parent = os.getpid()
            refused = [
                ('fork', lambda: os.fork() or os._exit(0)),
                ('exec', lambda: os.execv(sys.executable, [sys.executable, '-V'])),
                ('signals', lambda: os.kill(parent, 0)),
                ('sockets', lambda: __import__('_socket').socket()),
                ('limits of others', lambda: resource.prlimit(parent, resource.RLIMIT_CPU)),
                ('chmod', lambda: os.chmod(self.scratch, 0o700)),
            ]
            failed = []
            for name, attempt in refused:
                if _in_child(lambda: self._tried(1 << 40, attempt, OSError, errno.EPERM)) is not True:
                    failed.append(name)
            threads = _in_child(lambda: self._threads()) is True
            self._no_processes = not failed and threads
            self._correct(
                'seccomp',
                not failed and threads,
                'processes, exec, sockets, signals to others, tracing, mounts, keys, chmod and bpf are refused'
                if not failed and threads
                else 'not refused: ' + ', '.join(failed or ['nothing, but threads were']),
            )
            outside = [
                lambda: os.listdir('/'),
                lambda: os.open('/etc/passwd', os.O_RDONLY),
                lambda: os.open('/proc/self/mem', os.O_RDWR),
                lambda: os.open(os.path.dirname(self.scratch) + '/probe', os.O_RDWR | os.O_CREAT),
            ]
            # EROFS where the mounts are asked first.
            denied = [_in_child(lambda: self._tried(1 << 40, attempt, OSError, errno.EACCES, errno.EROFS)) for attempt in outside]
            inside = _in_child(lambda: bool(os.listdir(os.path.dirname(os.__file__))) and not os.close(os.open(self.scratch + '/probe/file', os.O_RDWR | os.O_CREAT)))
            if denied != [True] * len(denied) or inside is not True:
                self._correct('Landlock', False, 'files outside can be opened' if inside is True else 'needed files cannot be opened: %s' % inside)

        def hooked() -> bool:
            install_guard(self.scratch + '/probe')
            for attempt in (lambda: os.system('exit'), lambda: os.listdir(os.sep), lambda: __import__('_testcapi')):
                try:
                    attempt()
                    return False
                except PermissionError as error:
                    if 'the sandbox forbids' not in str(error):
                        return False
            return True

        if hasattr(os, 'fork'):
            in_force = _in_child(hooked) is True
            self._report('audit hook', in_force, 'refuses the same inside the interpreter, and reading the memory of other frames')
        else:
            self._report('audit hook', True, 'refuses processes, sockets, native code and paths outside inside the interpreter (not tested here)')
        clear(self.scratch + '/probe', self.scratch)

    def _tried(self, memory: int, attempt, kind: type, *codes: int) -> bool:
        if not self.bear(memory, 10):
            return False
        os.chdir(self.scratch + '/probe')
        try:
            attempt()
        except kind as error:
            return not codes or getattr(error, 'errno', 0) in codes
        return False

    def _threads(self) -> bool:
        import _thread
        import time

        self.bear(1 << 40, 10)
        done: list = []
        _thread.start_new_thread(done.append, (1,))
        for _ in range(1000):
            if done:
                return True
            time.sleep(0.001)
        return False

    def _correct(self, name: str, in_force: bool, detail: str) -> None:
        for layer in self.layers:
            if layer['name'] == name and layer['inForce']:
                layer['inForce'], layer['detail'] = in_force, detail


def _limit(kind: int, value: int) -> None:
    """Sets a limit for good, never above what there is already."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY and hard < value:
        value = hard
    resource.setrlimit(kind, (value, value))


def _must(done: bool) -> None:
    if not done:
        raise OSError(errno.EPERM, 'the kernel refuses a filter')


def _write_too_much() -> None:
    descriptor = os.open('large', os.O_WRONLY | os.O_CREAT)
    os.lseek(descriptor, SCRATCH, 0)
    os.write(descriptor, b'x')


def _in_child(body) -> bool | str:
    """True or False as `body` says in a forked process, or a text on what it raised."""
    answer, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                result: bool | str = bool(body())
            except BaseException as error:
                result = str(error) or type(error).__name__
            os.write(end, json.dumps(result).encode())
        finally:
            os._exit(0)
    os.close(end)
    data = os.read(answer, 4096)
    os.close(answer)
    os.waitpid(pid, 0)
    return json.loads(data) if data else 'ended'


def _wait_outside(inner: int, scratch: str, folders: list[tuple[int, str]]) -> None:
    """The outer process: holds nothing, ends when the server in the namespaces has ended, and leaves no folder."""
    for descriptor in (0, 1):
        os.close(descriptor)
    _, status = os.waitpid(inner, 0)
    linux.unmount(scratch)  # a mount point cannot be removed by those who see it
    remove(folders)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


def scratch_folders(scratch: str) -> list[tuple[int, str]]:
    """The scratch folder and the one that holds all servers' folders, each as an open parent and a name: for `remove`."""
    outer = os.path.dirname(scratch)
    return [(os.open(os.path.dirname(path), getattr(os, 'O_PATH', os.O_RDONLY)), os.path.basename(path)) for path in (scratch, outer)]


def remove(folders: list[tuple[int, str]]) -> None:
    for parent, name in folders:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError:
            return  # another server's folder is still there


# --- macOS ---


def resident(pid: int) -> int:
    """Bytes in memory of another process of this user, or 0 where it cannot be told. macOS only."""
    try:
        library = ctypes.CDLL('/usr/lib/libproc.dylib')
        info = ctypes.create_string_buffer(96)  # struct proc_taskinfo
        size = library.proc_pidinfo(pid, 4, ctypes.c_uint64(0), info, 96)
        return int.from_bytes(info.raw[8:16], 'little') if size == 96 else 0
    except (OSError, AttributeError):
        return 0


# --- Windows ---


def _enter_job_object() -> None:
    """Puts this process in a job that allows no other process in it and ends when the handle does."""
    kernel = ctypes.WinDLL('kernel32', use_last_error=True)  # type: ignore[attr-defined]
    kernel.CreateJobObjectW.restype = ctypes.c_void_p
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.SetInformationJobObject.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32]
    kernel.AssignProcessToJobObject.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    class Basic(ctypes.Structure):
        _fields_ = [
            ('per_process_time', ctypes.c_int64),
            ('per_job_time', ctypes.c_int64),
            ('flags', ctypes.c_uint32),
            ('minimum_working_set', ctypes.c_size_t),
            ('maximum_working_set', ctypes.c_size_t),
            ('processes', ctypes.c_uint32),
            ('affinity', ctypes.c_size_t),
            ('priority', ctypes.c_uint32),
            ('scheduling', ctypes.c_uint32),
        ]

    class Extended(ctypes.Structure):
        _fields_ = [
            ('basic', Basic),
            ('io', ctypes.c_uint64 * 6),
            ('process_memory', ctypes.c_size_t),
            ('job_memory', ctypes.c_size_t),
            ('peak_process', ctypes.c_size_t),
            ('peak_job', ctypes.c_size_t),
        ]

    job = kernel.CreateJobObjectW(None, None)
    limits = Extended()
    limits.basic.flags = 0x8 | 0x2000 | 0x400  # ACTIVE_PROCESS, KILL_ON_JOB_CLOSE, DIE_ON_UNHANDLED_EXCEPTION
    limits.basic.processes = 1
    if (
        not job
        or not kernel.SetInformationJobObject(job, 9, ctypes.byref(limits), ctypes.sizeof(limits))
        or not kernel.AssignProcessToJobObject(job, kernel.GetCurrentProcess())
    ):
        raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined]
    global _job, _job_limits, _set_job
    _job, _job_limits, _set_job = job, limits, kernel.SetInformationJobObject


def limit_job_memory(memory: int) -> None:
    """Windows: bounds the memory of this process, which is in its job already."""
    if '_job' in globals():
        _job_limits.basic.flags |= 0x100  # PROCESS_MEMORY
        _job_limits.process_memory = memory
        _set_job(_job, 9, ctypes.byref(_job_limits), ctypes.sizeof(_job_limits))
