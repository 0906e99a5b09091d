//! The checksum of payloads: CRC32C (Castagnoli), as iSCSI and ext4 have it.
//!
//! It is counted on every whole read, so it is counted by the fastest code there is: 32x32x3 bytes take a third of what
//! the processor's own CRC instruction alone takes.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of what `sum` is the checksum of, with `bytes` after it.
pub(crate) fn crc32c_append(sum: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!sum));
    digest.update(bytes);
    digest.finalize() as u32
}

/// The checksum of a value that is kept under a key: of both, one after another, so that it is wrong under another key.
pub(crate) fn of_keyed(key: &[u8], value: &[u8]) -> u32 {
    crc32c_append(crc32c(key), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_castagnoli_sum_of_any_length_in_any_pieces() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the catalogue's check value");
        let bytes: Vec<u8> = (0..5000_u32).map(|i| (i * i / 8) as u8).collect();
        for length in (0..300).chain([1023, 1024, 1025, 3072, 5000]) {
            let expected = ::crc32c::crc32c(&bytes[..length]);
            assert_eq!(crc32c(&bytes[..length]), expected, "{length} bytes");
            for cut in [0, 1, length / 3, length] {
                let (head, tail) = bytes[..length].split_at(cut.min(length));
                assert_eq!(crc32c_append(crc32c(head), tail), expected, "{length} bytes cut at {cut}");
            }
        }
    }
}
