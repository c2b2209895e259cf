"""The plain-data codec of strict mode: values as bytes, between a judge and the process of a candidate it does not trust.

Decoding builds None, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict, range and a few value types
of the standard library, and nothing else: no class of the other side, no code, no method of the other side is ever run by it.
Anything else crosses as a number that stands for the object (`Remote` on the side that receives it). One value may be met
many times or contain itself: shared lists stay shared.

Knows nothing of pipes, verdicts or what the numbers are used for.
"""

from __future__ import annotations

import datetime
import struct
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction

_pack = struct.Struct('<I').pack
_unpack = struct.Struct('<I').unpack_from
_pack_double = struct.Struct('<d').pack
_unpack_double = struct.Struct('<d').unpack_from

_KEYS, _ITEMS, _VALUES = type({}.keys()), type({}.items()), type({}.values())
_RUN = 8  # from this length on, lists of one kind of number are packed at once: a hundred times faster on long lists

#: Types that can change after they were sent: kept in a table so that their changes can be sent back.
MUTABLE = (list, dict, set, bytearray, deque, Counter, OrderedDict, defaultdict)


class Malformed(Exception):
    """Bytes that are no encoding. Only a program that tampers with its own process sends such."""


class Encoder:
    """Encodes one message. `table` lists the mutable containers met, in order, and is filled further while encoding."""

    __slots__ = ('out', 'memo', 'table', 'keep', 'export')

    def __init__(self, export, table: list | None = None) -> None:
        """`export(object)` gives `(tag, number)` for what is no plain data."""
        self.out: list[bytes] = []
        self.table: list = [] if table is None else table
        self.memo: dict[int, int] = {id(value): index for index, value in enumerate(self.table)}
        self.keep: list = []  # temporaries must outlive the memo: an id is only unique while its object lives
        self.export = export

    def bytes(self) -> bytes:
        return b''.join(self.out)

    def value(self, value) -> None:
        out = self.out.append
        kind = type(value)
        if value is None:
            out(b'N')
        elif kind is bool:
            out(b'T' if value else b'F')
        elif kind is int:
            if -(1 << 63) <= value < 1 << 63:
                out(b'i' + value.to_bytes(8, 'little', signed=True))
            else:
                raw = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
                out(b'I' + _pack(len(raw)) + raw)
        elif kind is str:
            raw = value.encode('utf-8', 'surrogatepass')
            out(b's' + _pack(len(raw)) + raw)
        elif kind is float:
            out(b'd' + _pack_double(value))
        elif kind is tuple:
            self.items(b't', value)
        elif kind is complex:
            out(b'c' + _pack_double(value.real) + _pack_double(value.imag))
        elif kind is bytes:
            out(b'b' + _pack(len(value)) + value)
        elif kind in MUTABLE:
            index = self.memo.get(id(value))
            if index is not None:
                out(b'r' + _pack(index))
                return
            self.memo[id(value)] = len(self.table)
            self.table.append(value)
            out(b'm')
            self.content(value)
        elif kind is frozenset:
            self.items(b'z', list(value))
        elif kind is range:
            self.items(b'g', (value.start, value.stop, value.step))
        elif kind is _KEYS:
            self.items(b'k', list(value))
        elif kind is _ITEMS:
            self.items(b'e', list(value))
        elif kind is _VALUES:
            self.items(b'v', list(value))
        elif kind is Fraction:
            self.items(b'q', (value.numerator, value.denominator))
        elif kind is Decimal:
            self.items(b'n', (str(value),))
        elif kind is datetime.timedelta:
            self.items(b'y', (value.days, value.seconds, value.microseconds))
        elif kind is datetime.date:
            self.items(b'w', (value.year, value.month, value.day))
        elif kind is datetime.datetime and value.tzinfo is None:
            self.items(b'x', (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond))
        elif kind is array:
            self.items(b'a', (value.typecode, value.tolist()))
        else:
            self.other(value, kind)

    def other(self, value, kind) -> None:
        """What is no plain data: as its plain base where it has one (a namedtuple as a tuple), else as a number."""
        for base in (int, str, float, tuple, list, dict, set, frozenset, complex, bytes, bytearray):
            if issubclass(kind, base):
                plain = (
                    int.__int__(value) if base is int
                    else str.__str__(value) if base is str
                    else float.__float__(value) if base is float
                    else base(base.__iter__(value)) if base in (tuple, list, set, frozenset)
                    else base(value)
                )
                if type(plain) is base:
                    self.keep.append(plain)
                    self.value(plain)
                    return
        tag, number = self.export(value)
        self.out.append(tag + _pack(number))

    def items(self, tag: bytes, values) -> None:
        """A sequence of fixed content: its length, then each."""
        self.out.append(tag)
        self.sequence(values)

    def sequence(self, values) -> None:
        count = len(values)
        out = self.out.append
        if count >= _RUN:
            kinds = set(map(type, values))
            if len(kinds) == 1:
                kind = kinds.pop()
                try:
                    if kind is int:
                        raw = struct.pack('<%dq' % count, *values)
                        out(b'q' + _pack(count) + raw)
                        return
                    if kind is float:
                        out(b'd' + _pack(count) + struct.pack('<%dd' % count, *values))
                        return
                except struct.error:
                    pass  # an int beyond 64 bits: one by one
        out(b'.' + _pack(count))
        for value in values:
            self.value(value)

    def content(self, value) -> None:
        """The content of a mutable container, without the memo: also how its changes are sent back."""
        kind = type(value)
        if kind is list:
            self.items(b'l', value)
        elif kind is dict:
            self.pairs(b'h', value)
        elif kind is set:
            self.items(b'u', list(value))
        elif kind is bytearray:
            self.out.append(b'B' + _pack(len(value)) + bytes(value))
        elif kind is deque:
            self.value_pair(b'Q', value.maxlen, list(value))
        elif kind is Counter:
            self.pairs(b'C', value)
        elif kind is OrderedDict:
            self.pairs(b'O', value)
        else:
            self.pairs(b'D', value)

    def value_pair(self, tag: bytes, first, values) -> None:
        self.out.append(tag)
        self.value(first)
        self.sequence(values)

    def pairs(self, tag: bytes, value) -> None:
        self.out.append(tag)
        self.sequence(list(dict.keys(value)))
        self.sequence(list(dict.values(value)))


class Decoder:
    """Decodes one message. `table` are the mutable containers that `r` may name: those of this message and, given, of an earlier one."""

    __slots__ = ('data', 'at', 'table', 'imported')

    def __init__(self, data: bytes, imported, table: list | None = None) -> None:
        """`imported(tag, number)` gives the object for what was no plain data."""
        self.data = data
        self.at = 0
        self.table: list = [] if table is None else table
        self.imported = imported

    def number(self) -> int:
        (value,) = _unpack(self.data, self.at)
        self.at += 4
        return value

    def raw(self) -> bytes:
        count = self.number()
        start = self.at
        self.at = start + count
        if self.at > len(self.data):
            raise Malformed('cut short')
        return self.data[start : self.at]

    def value(self):
        data, at = self.data, self.at
        tag = data[at : at + 1]
        self.at = at + 1
        if tag == b'i':
            self.at += 8
            return int.from_bytes(data[at + 1 : at + 9], 'little', signed=True)
        if tag == b's':
            return self.raw().decode('utf-8', 'surrogatepass')
        if tag == b'm':
            return self.container()
        if tag == b't':
            return tuple(self.sequence())
        if tag == b'N':
            return None
        if tag == b'T':
            return True
        if tag == b'F':
            return False
        if tag == b'd':
            return self.double()
        if tag == b'r':
            index = self.number()
            if index >= len(self.table):
                raise Malformed('a reference to nothing')
            return self.table[index]
        if tag == b'I':
            return int.from_bytes(self.raw(), 'little', signed=True)
        if tag == b'c':
            return complex(self.double(), self.double())
        if tag == b'b':
            return self.raw()
        if tag == b'z':
            return frozenset(self.sequence())
        if tag == b'g':
            return range(*self.integers(3))
        if tag == b'k':
            return dict.fromkeys(self.sequence()).keys()
        if tag == b'e':
            return dict(self.sequence()).items()
        if tag == b'v':
            return dict(enumerate(self.sequence())).values()
        if tag == b'q':
            return Fraction(*self.integers(2))
        if tag == b'n':
            (text,) = self.sequence()
            return Decimal(text)
        if tag == b'y':
            return datetime.timedelta(*self.integers(3))
        if tag == b'w':
            return datetime.date(*self.integers(3))
        if tag == b'x':
            return datetime.datetime(*self.integers(7))
        if tag == b'a':
            code, values = self.sequence()
            return array(code, values)
        if not tag:
            raise Malformed('cut short')
        return self.imported(tag, self.number())

    def double(self) -> float:
        (value,) = _unpack_double(self.data, self.at)
        self.at += 8
        return value

    def integers(self, count: int) -> list:
        values = self.sequence()
        if len(values) != count or set(map(type, values)) != {int}:
            raise Malformed('not %d integers' % count)
        return values

    def sequence(self) -> list:
        tag = self.data[self.at : self.at + 1]
        self.at += 1
        count = self.number()
        start = self.at
        if tag == b'.':
            if count > len(self.data) - start:
                raise Malformed('cut short')
            value = self.value
            return [value() for _ in range(count)]
        self.at = start + 8 * count
        if self.at > len(self.data) or tag not in (b'q', b'd'):
            raise Malformed('cut short')
        return list(struct.unpack_from('<%d%s' % (count, tag.decode()), self.data, start))

    def container(self):
        """A new mutable container; in the table before its content is read, which may name it."""
        tag = self.data[self.at : self.at + 1]
        if tag not in _EMPTY:
            raise Malformed('an unknown container')
        value = _EMPTY[tag]()
        index = len(self.table)
        self.table.append(value)
        if tag == b'Q':
            self.at += 1
            limit = self.value()
            value = self.table[index] = deque(self.sequence(), limit)
            return value
        self.fill(value)
        return value

    def fill(self, value) -> None:
        """Replaces the content of a container by the one that stands here: also how changes come back."""
        tag = self.data[self.at : self.at + 1]
        self.at += 1
        if tag not in _EMPTY or type(value) is not type(_EMPTY[tag]()):
            raise Malformed('content of another container')
        if tag == b'l':
            value[:] = self.sequence()
        elif tag == b'u':
            items = self.sequence()
            value.clear()
            value.update(items)
        elif tag == b'B':
            value[:] = self.raw()
        elif tag == b'Q':
            self.value()
            items = self.sequence()
            value.clear()
            value.extend(items)
        else:
            keys, values = self.sequence(), self.sequence()
            if len(keys) != len(values):
                raise Malformed('keys without values')
            dict.clear(value)
            for key, item in zip(keys, values):
                dict.__setitem__(value, key, item)


_EMPTY = {
    b'l': list,
    b'h': dict,
    b'u': set,
    b'B': bytearray,
    b'Q': deque,
    b'C': Counter,
    b'O': OrderedDict,
    b'D': defaultdict,
}
