"""Reads messages in Protocol Buffers' encoding, as far as ONNX needs it: nothing worse than an exception can happen.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number without end")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value): an int or, of anything with a length, its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 2:
            length, at = _varint(data, at)
            value = data[at : at + length]
            if len(value) != length:
                raise ValueError("cut off")
            at += length
        else:  # fixed 32 and 64 bits: floating-point attributes, which no operator here has
            raise ValueError("a field of an unexpected kind")
        yield key >> 3, value


def message(data: memoryview, once: dict[int, str], many: dict[int, str] | None = None) -> dict:
    """The fields of a message by name; any others, and any twice that should be there once, are refused."""
    many = many or {}
    found: dict = {name: [] for name in many.values()}
    for number, value in _fields(data):
        if number in many:
            found[many[number]].append(value)
        elif number in once and once[number] not in found:
            found[once[number]] = value
        else:
            raise ValueError(f"an unexpected field {number}")
    return found


def signed(value: int) -> int:
    """int64, which is written as if it were unsigned."""
    if not isinstance(value, int):
        raise ValueError("a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(values: list) -> list[int]:
    """A repeated integer, packed or not."""
    numbers = []
    for value in values:
        if isinstance(value, int):
            numbers.append(signed(value))
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            numbers.append(signed(number))
    return numbers
