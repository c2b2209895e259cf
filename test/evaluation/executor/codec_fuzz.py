"""Property and fuzz test of the plain-data codec; started by codec.test.ts with the folder of the codec.

What is encoded comes back equal, with the same sharing; damaged bytes give an error or plain data, never code and never more memory than
the bytes can account for.
"""

import random
import sys

sys.path.insert(0, sys.argv[1])
from codec import Decoder, Encoder  # noqa: E402

PLAIN = {int, float, bool, str, bytes, complex, type(None), tuple, list, set, frozenset, dict, bytearray, range}
chance = random.Random(int(sys.argv[2]))


def refuse(*_):
    raise ValueError('no plain data')


def hashable(depth):
    kinds = [
        lambda: chance.choice([None, True, False, ...][:3]),
        lambda: chance.randrange(-(2 ** chance.randrange(1, 200)), 2 ** chance.randrange(1, 200)),
        lambda: chance.choice([0.0, -0.0, 1.5, float('inf'), 5e-324, chance.random()]),
        lambda: ''.join(chance.choice('aé\0\ud800𝒳') for _ in range(chance.randrange(6))),
        lambda: bytes(chance.randrange(256) for _ in range(chance.randrange(6))),
        lambda: complex(chance.random(), -1),
        lambda: range(chance.randrange(9), chance.randrange(9), chance.choice([-1, 1, 2])),
    ]
    if depth:
        kinds += [
            lambda: tuple(hashable(depth - 1) for _ in range(chance.randrange(12))),
            lambda: frozenset(hashable(depth - 1) for _ in range(chance.randrange(5))),
        ]
    return chance.choice(kinds)()


def anything(depth, seen):
    if depth and seen and chance.random() < 0.1:
        return chance.choice(seen)
    kind = chance.randrange(7) if depth else 6
    if kind == 0:
        value = []
        seen.append(value)
        value += [anything(depth - 1, seen) for _ in range(chance.randrange(12))]
    elif kind == 1:
        value = {}
        seen.append(value)
        for _ in range(chance.randrange(5)):
            value[hashable(1)] = anything(depth - 1, seen)
    elif kind == 2:
        value = {hashable(1) for _ in range(chance.randrange(12))}
    elif kind == 3:
        value = bytearray(b'abc')
    elif kind == 4:
        value = tuple(anything(depth - 1, seen) for _ in range(chance.randrange(12)))
    elif kind == 5:
        value = [chance.random() for _ in range(20)]
    else:
        value = hashable(2)
    return value


def encoded(value):
    encoder = Encoder(refuse)
    encoder.value(value)
    return encoder.bytes()


def kinds_in(value, seen):
    if id(value) in seen:
        return
    seen.add(id(value))
    yield type(value)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from kinds_in(item, seen)


def main():
    errors = 0
    for _ in range(2000):
        data = encoded(anything(4, []))
        again = encoded(Decoder(data, refuse).value())
        if b'u' not in data and b'z' not in data:  # the order in sets is free
            assert data == again, data
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(damaged))
            how = chance.randrange(3)
            if how == 0:
                damaged[place] = chance.randrange(256)
            elif how == 1:
                del damaged[place:]
            else:
                damaged[place:place] = bytes(chance.choice(b'ilmrsthuqd.\xff') for _ in range(4))
            if not damaged:
                break
        try:
            value = Decoder(bytes(damaged), refuse).value()
        except Exception as error:
            assert not isinstance(error, MemoryError), error
            errors += 1
        else:
            rest = set(kinds_in(value, set())) - PLAIN
            assert all(kind.__module__ in ('collections', 'builtins', 'fractions', 'decimal', 'datetime', 'array') for kind in rest), rest
    assert errors > 200, errors
    print('ok')


main()
