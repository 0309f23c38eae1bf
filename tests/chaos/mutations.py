"""Breaking what a real client says: bits, lengths, whole PDUs (PS3.8 9.3)."""

import random
from collections.abc import Callable

HEADER_BYTES = 6  # PDU type, reserved, length as 4 bytes big endian
_LENGTHS = (0, 1, 3, 0x7FFFFFFF, 0xFFFFFFFF)


def pdus(conversation: bytes) -> list[bytes]:
    """Cut what a client said into its PDUs."""
    found, rest = [], conversation
    while rest:
        end = HEADER_BYTES + int.from_bytes(rest[2:HEADER_BYTES], "big")
        found.append(rest[:end])
        rest = rest[end:]
    return found


def mutate(conversation: bytes, dice: random.Random) -> bytes:
    """Break a conversation in one to three places."""
    broken = conversation
    for _ in range(dice.randint(1, 3)):
        broken = dice.choice(_WAYS)(broken, dice)
    return broken


def _flip_bits(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    # Most of an object is pixels; what is parsed comes first.
    reach = dice.choice((80, 300, 1200, len(changed)))
    for _ in range(dice.randint(1, 8)):
        if changed:
            changed[dice.randrange(min(reach, len(changed)))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _repeat_a_piece(data: bytes, dice: random.Random) -> bytes:
    begin = dice.randrange(len(data) + 1)
    end = min(len(data), begin + dice.choice((1, 6, 100, 5000)))
    return data[:end] + data[begin:]


def _insert_noise(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.randbytes(dice.choice((1, 4, 64, 4096))) + data[at:]


def _lie_about_a_length(data: bytes, dice: random.Random) -> bytes:
    def lie(pdu: bytes) -> bytes:
        field = dice.choice((2, HEADER_BYTES))  # of the PDU, or of its first item or PDV
        true = int.from_bytes(pdu[field : field + 4], "big")
        length = dice.choice((*_LENGTHS, true + 1, max(true - 1, 0), true * 2)) & 0xFFFFFFFF
        return pdu[:field] + length.to_bytes(4, "big") + pdu[field + 4 :]

    return _with_one(data, dice, lambda pdu: [lie(pdu)])


def _change_a_type(data: bytes, dice: random.Random) -> bytes:
    return _with_one(data, dice, lambda pdu: [bytes([dice.randrange(256)]) + pdu[1:]])


def _drop_a_pdu(data: bytes, dice: random.Random) -> bytes:
    return _with_one(data, dice, lambda _: [])


def _double_a_pdu(data: bytes, dice: random.Random) -> bytes:
    return _with_one(data, dice, lambda pdu: [pdu, pdu])


def _shuffle_pdus(data: bytes, dice: random.Random) -> bytes:
    parts = pdus(data)
    dice.shuffle(parts)
    return b"".join(parts)


def _with_one(data: bytes, dice: random.Random, change: Callable[[bytes], list[bytes]]) -> bytes:
    parts = pdus(data)
    if not parts:
        return data
    chosen = dice.randrange(len(parts))
    return b"".join([*parts[:chosen], *change(parts[chosen]), *parts[chosen + 1 :]])


_WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bits,
    _truncate,
    _repeat_a_piece,
    _insert_noise,
    _lie_about_a_length,
    _change_a_type,
    _drop_a_pdu,
    _double_a_pdu,
    _shuffle_pdus,
)
