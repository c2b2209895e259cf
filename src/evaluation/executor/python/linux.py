"""What Linux gives a process without root to confine itself and its children: namespaces, Landlock, seccomp, capabilities.

Each function does one thing or raises OSError; none is assumed to work, since kernels, containers and distributions differ
(Ubuntu 23.10 and later and many containers forbid user namespaces, Landlock needs 5.13, its rules for TCP 6.7).

Knows nothing of programs and verdicts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_long = ctypes.c_long
_syscall = _libc.syscall
_syscall.restype = _long
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4

MACHINE = platform.machine()
_X86 = MACHINE == 'x86_64'
SUPPORTED = sys.maxsize > 1 << 32 and MACHINE in ('x86_64', 'aarch64')


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, '%s: %s' % (what, os.strerror(code)))
    return result


def _call(number: int, what: str, *args) -> int:
    return _checked(_syscall(_long(number), *(_long(arg) if isinstance(arg, int) else arg for arg in args)), what)


def die_with_parent(prctl=_prctl) -> None:
    prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL


def adopt_orphans() -> None:
    _checked(_prctl(36, 1, 0, 0, 0), 'PR_SET_CHILD_SUBREAPER')


def gain_nothing_by_exec() -> None:
    _checked(_prctl(38, 1, 0, 0, 0), 'PR_SET_NO_NEW_PRIVS')


def hide_memory() -> None:
    """No other process of this user may trace this one or read its memory."""
    _checked(_prctl(4, 0, 0, 0, 0), 'PR_SET_DUMPABLE')


def show_memory() -> None:
    _checked(_prctl(4, 1, 0, 0, 0), 'PR_SET_DUMPABLE')


# --- namespaces ---

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000


def enter_namespaces() -> None:
    """A user namespace and in it namespaces of processes (for children), network, IPC and mounts."""
    user, group = os.getuid(), os.getgid()
    _checked(_libc.unshare(_NEWUSER | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS | _NEWNS), 'unshare')
    for name, text in (('setgroups', 'deny'), ('uid_map', '%d %d 1' % (user, user)), ('gid_map', '%d %d 1' % (group, group))):
        descriptor = os.open('/proc/self/' + name, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    _libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
    _checked(_libc.mount(texts[0], texts[1], texts[2], flags, texts[3]), 'mount ' + target)


def mount_scratch(folder: str, size: int) -> None:
    """A memory file system of `size` bytes on `folder`, everything else read-only. In a mount namespace of our own only."""
    _mount('none', '/', None, 1 << 18 | 1 << 14)  # MS_PRIVATE, MS_REC: nothing of this is seen outside
    _mount('midtrain', folder, 'tmpfs', 2 | 4, 'size=%d,nr_inodes=10000,mode=700' % size)  # nosuid, nodev
    _set_mount('/', 1 << 15, 1, 0)  # AT_RECURSIVE, MOUNT_ATTR_RDONLY
    _set_mount(folder, 0, 0, 1)


def unmount(folder: str) -> None:
    _libc.umount2(folder.encode(), 2)  # MNT_DETACH; if nothing is mounted there, all the better


def _set_mount(path: str, flags: int, add: int, remove: int) -> None:
    attributes = ctypes.create_string_buffer(struct.pack('<QQQQ', add, remove, 0, 0), 32)
    _call(442, 'mount_setattr ' + path, -100, ctypes.c_char_p(path.encode()), flags, attributes, 32)


def drop_capabilities() -> None:
    header = ctypes.create_string_buffer(struct.pack('<Ii', 0x20080522, 0), 8)
    _checked(_libc.capset(header, ctypes.create_string_buffer(24)), 'capset')


# --- Landlock ---

_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446


def landlock_version() -> int:
    """0 where the kernel has none."""
    return max(0, _syscall(_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def _restrict(files: int, network: int, rules: list[tuple[str, int]]) -> None:
    attributes = struct.pack('<QQ', files, network)[: 16 if network else 8]
    ruleset = _call(
        _LANDLOCK_CREATE, 'landlock_create_ruleset', ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    try:
        for path, rights in rules:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # a folder that this system does not have
            if not os.path.isdir(path):
                rights &= _READ_FILE | 1 << 1 | 1 << 14
            try:
                rule = ctypes.create_string_buffer(struct.pack('<Qi', rights, descriptor), 12)
                _call(_LANDLOCK_ADD, 'landlock_add_rule', ruleset, 1, rule, 0)
            finally:
                os.close(descriptor)
        _call(_LANDLOCK_RESTRICT, 'landlock_restrict_self', ruleset, 0)
    finally:
        os.close(ruleset)


def restrict_files(readable: list[str], writable: list[str]) -> None:
    """From now on only these folders and files can be opened, and no TCP port be bound or connected to (version 4)."""
    version = landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, 'the kernel has no Landlock (5.13 and later)')
    files = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0) | (1 << 15 if version >= 5 else 0)
    rules = [(path, _READ_FILE | _READ_DIR) for path in readable]
    # Everything but devices, sockets and pipes of its own making, and executing.
    made = files & ~(_EXECUTE | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 15)
    rules += [(path, made) for path in writable]
    _restrict(files, 3 if version >= 4 else 0, rules)


# --- seccomp ---

# Numbers on x86_64 and aarch64; None where there is no such call.
_CALLS = {
    'socket': (41, 198), 'connect': (42, 203), 'bind': (49, 200), 'listen': (50, 201), 'accept': (43, 202), 'accept4': (288, 242),
    'execve': (59, 221), 'execveat': (322, 281),
    'ptrace': (101, 117), 'process_vm_readv': (310, 270), 'process_vm_writev': (311, 271), 'process_madvise': (440, 440),
    'process_mrelease': (448, 448), 'kcmp': (312, 272), 'pidfd_open': (434, 434), 'pidfd_getfd': (438, 438),
    'bpf': (321, 280), 'perf_event_open': (298, 241), 'userfaultfd': (323, 282),
    'mount': (165, 40), 'umount2': (166, 39), 'pivot_root': (155, 41), 'chroot': (161, 51), 'open_tree': (428, 428),
    'move_mount': (429, 429), 'fsopen': (430, 430), 'fsconfig': (431, 431), 'fsmount': (432, 432), 'fspick': (433, 433),
    'mount_setattr': (442, 442), 'unshare': (272, 97), 'setns': (308, 268),
    'add_key': (248, 217), 'request_key': (249, 218), 'keyctl': (250, 219),
    'io_uring_setup': (425, 425), 'io_uring_enter': (426, 426), 'io_uring_register': (427, 427), 'io_setup': (206, 0),
    'name_to_handle_at': (303, 264), 'open_by_handle_at': (304, 265), 'memfd_create': (319, 279), 'memfd_secret': (447, 447),
    'init_module': (175, 105), 'finit_module': (313, 273), 'delete_module': (176, 106), 'kexec_load': (246, 104),
    'kexec_file_load': (320, 294), 'reboot': (169, 142), 'swapon': (167, 224), 'swapoff': (168, 225), 'acct': (163, 89),
    'quotactl': (179, 60), 'quotactl_fd': (443, 443), 'fanotify_init': (300, 262), 'syslog': (103, 116), 'vhangup': (153, 58),
    'settimeofday': (164, 170), 'clock_settime': (227, 112), 'clock_adjtime': (305, 266), 'adjtimex': (159, 171),
    'sethostname': (170, 161), 'setdomainname': (171, 162), 'iopl': (172, None), 'ioperm': (173, None),
    'modify_ldt': (154, None), 'uselib': (134, None), 'lookup_dcookie': (212, 18), 'migrate_pages': (256, 238),
    'move_pages': (279, 239), 'mbind': (237, 235), 'seccomp': (317, 277),
    'shmget': (29, 194), 'msgget': (68, 186), 'semget': (64, 190), 'mq_open': (240, 180),
    # Landlock does not see these, and a file's owner may do them whatever the descriptor was opened for.
    'chmod': (90, None), 'fchmod': (91, 52), 'fchmodat': (268, 53), 'fchmodat2': (452, 452), 'chown': (92, None),
    'fchown': (93, 55), 'lchown': (94, None), 'fchownat': (260, 54), 'utime': (132, None), 'utimes': (235, None),
    'futimesat': (261, None), 'utimensat': (280, 88), 'setxattr': (188, 5), 'lsetxattr': (189, 6), 'fsetxattr': (190, 7),
    'setxattrat': (463, 463), 'removexattr': (197, 14), 'lremovexattr': (198, 15), 'fremovexattr': (199, 16),
    'removexattrat': (466, 466), 'file_setattr': (469, 469),
    # Of other processes, and by ways that neither C library nor interpreter takes.
    'fork': (57, None), 'vfork': (58, None), 'tkill': (200, 130), 'rt_sigqueueinfo': (129, 138),
    'rt_tgsigqueueinfo': (297, 240), 'pidfd_send_signal': (424, 424), 'sched_setaffinity': (203, 122),
    'sched_setscheduler': (144, 119), 'sched_setparam': (142, 118), 'sched_setattr': (314, 274), 'setpriority': (141, 140),
    'ioprio_set': (251, 30),
}  # fmt: skip
# What a server needs and its programs must not have: looked at closer by the filter of programs.
_CLOSER = {'clone': (56, 220), 'clone3': (435, 435), 'kill': (62, 129), 'tgkill': (234, 131), 'prlimit64': (302, 261)}


def _number(call: tuple[int, int | None]) -> int | None:
    return call[0] if _X86 else call[1]


_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _MISSING = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_ARCHITECTURE = 0xC000003E if _X86 else 0xC00000B7


class Filter:
    """A seccomp filter, assembled once; installing it is one call."""

    def __init__(self, refused: list[str], for_program: bool) -> None:
        """`refused`: calls that fail with EPERM. `for_program`: threads but no processes, signals and limits for itself only."""
        code: list[tuple[int, int, int, int]] = []
        self._own: list[int] = []  # where the process's own id stands
        emit = code.append
        emit((_LOAD, 0, 0, 4))
        emit((_EQUAL, 1, 0, _ARCHITECTURE))
        emit((_RETURN, 0, 0, _KILL))
        emit((_LOAD, 0, 0, 0))
        if _X86:  # x32 calls have other numbers under the same architecture
            emit((_AT_LEAST, 0, 1, 0x40000000))
            emit((_RETURN, 0, 0, _KILL))
        for name in refused:
            number = _number(_CALLS[name])
            if number is not None:
                emit((_EQUAL, 0, 1, number))
                emit((_RETURN, 0, 0, _REFUSE))
        if for_program:
            number = _number(_CLOSER['clone3'])
            emit((_EQUAL, 0, 1, number or 0))
            emit((_RETURN, 0, 0, _MISSING))  # its flags are behind a pointer; the C library falls back to clone
            emit((_EQUAL, 0, 4, _number(_CLOSER['clone']) or 0))
            emit((_LOAD, 0, 0, 16))
            emit((_ANY_BIT, 0, 1, 0x10000))  # CLONE_THREAD
            emit((_RETURN, 0, 0, _ALLOW))
            emit((_RETURN, 0, 0, _REFUSE))
            # kill(0, ...) and kill(-1, ...) are refused too.
            for name, allowed in (('kill', 'own'), ('tgkill', 'own'), ('prlimit64', 'zero')):
                emit((_EQUAL, 0, 4, _number(_CLOSER[name]) or 0))
                emit((_LOAD, 0, 0, 16))
                if allowed == 'own':
                    self._own.append(len(code))
                emit((_EQUAL, 0, 1, 0))
                emit((_RETURN, 0, 0, _ALLOW))
                emit((_RETURN, 0, 0, _REFUSE))
        emit((_RETURN, 0, 0, _ALLOW))
        self._code = ctypes.create_string_buffer(b''.join(struct.pack('<HBBI', *line) for line in code), 8 * len(code))

        class Program(ctypes.Structure):
            _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]

        self._program = Program(len(code), ctypes.addressof(self._code))
        self._address = ctypes.addressof(self._program)

    def install(self, pid: int = 0, prctl=_prctl) -> bool:
        for place in self._own:
            struct.pack_into('<I', self._code, 8 * place + 4, pid)
        return prctl(22, 2, self._address, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def server_filter() -> Filter:
    """What neither a server nor its programs need."""
    return Filter(list(_CALLS), for_program=False)


def program_filter() -> Filter:
    """What a program may not do but its server must. Short, for the kernel goes through it for every program anew."""
    return Filter([], for_program=True)
