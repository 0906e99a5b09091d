"""CRC32C (Castagnoli), the checksum of all that a store keeps, byte by byte as the textbooks have it."""
import json


def _of_byte(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


TABLE = [_of_byte(byte) for byte in range(256)]


def crc32c(bytes):
    sum = 0xFFFFFFFF
    for byte in bytes:
        sum = sum >> 8 ^ TABLE[(sum ^ byte) & 0xFF]
    return sum ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def sealed(line):
    """The object in a line of bytes that ends with its checksum, which must be right."""
    body, _, rest = line.rpartition(b',"crc32c":')
    assert rest == b'"%08x"}\n' % crc32c(body), line
    return json.loads(line)


def keyed(key, value):
    """A value that ends with a checksum of its key and of itself, without that checksum, which must be right."""
    value, sum = bytes(value[:-4]), bytes(value[-4:])
    assert crc32c(key + value) == int.from_bytes(sum, "little"), f"the value of {key} is damaged"
    return value


def record(id, record):
    """A descriptor record without its checksum, which must be right."""
    return keyed(id.to_bytes(8, "big"), record)
