//! A SHA-256 as a value: hexadecimal outside, 32 bytes inside, checked on the way in.
//!
//! Knows how to hash bytes and files; does not know what they mean or whether they changed.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// The SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sha256 in 64 lower-case hexadecimal digits")]
pub struct DigestError(String);

impl Digest {
    /// Of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Of a whole file, with its length; an error once `stop` is set.
    pub fn of_file(path: &Path, stop: &AtomicBool) -> io::Result<(Digest, u64)> {
        let mut file = fs_err::File::open(path)?;
        let mut hashing = Hashing::default();
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        loop {
            if stop.load(Ordering::Relaxed) {
                let text = format!("stopped while hashing `{}`", path.display());
                return Err(io::Error::new(io::ErrorKind::Interrupted, text));
            }
            match file.read(&mut buffer) {
                Ok(0) => return Ok((hashing.finish(), hashing.bytes())),
                Ok(n) => hashing.update(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands over its 64 digits: there are thousands in a manifest, none worth an allocation.
    fn hex<T>(&self, with: impl FnOnce(&str) -> T) -> T {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        with(std::str::from_utf8(&hex).unwrap_or_default())
    }

    /// Is that text its digits?
    pub fn is_written(&self, text: &str) -> bool {
        self.hex(|hex| hex == text)
    }

    /// The first 16 hexadecimal digits, for names that need not be more than distinct.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(16);
        hex
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hex(|hex| f.write_str(hex))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let wrong = || DigestError(text.chars().take(100).collect());
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte =
                digit(pair[0]).zip(digit(pair[1])).map(|(a, b)| a << 4 | b).ok_or_else(wrong)?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.hex(|hex| serializer.serialize_str(hex))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sha256 in 64 lower-case hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// Content that is hashed and counted as it goes by.
#[derive(Debug, Clone, Default)]
pub struct Hashing {
    sha256: Sha256,
    bytes: u64,
}

impl Hashing {
    /// The next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes went by.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of what went by so far.
    pub fn finish(&self) -> Digest {
        Digest(self.sha256.clone().finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hexadecimal_outside_and_back() {
        let digest = Digest::of_bytes(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(digest));
        assert_eq!(digest.short(), &EMPTY[..16]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn anything_but_64_lower_case_digits_is_refused() {
        let long = format!("{EMPTY}0");
        let accented = "é".repeat(32);
        for text in ["", "e3b0", &EMPTY.to_uppercase(), &long, &accented, &EMPTY.replace('e', "g")]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
            assert!(serde_json::from_value::<Digest>((*text).into()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_hashes_like_its_bytes_in_pieces_or_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..700_000u32).map(|n| n as u8).collect();
        fs_err::write(&path, &bytes).unwrap();
        let mut hashing = Hashing::default();
        bytes.chunks(999).for_each(|chunk| hashing.update(chunk));
        let stop = AtomicBool::new(false);
        assert_eq!(Digest::of_file(&path, &stop).unwrap(), (Digest::of_bytes(&bytes), 700_000));
        stop.store(true, Ordering::Relaxed);
        let stopped = Digest::of_file(&path, &stop).unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
        assert_eq!((hashing.finish(), hashing.bytes()), (Digest::of_bytes(&bytes), 700_000));
    }
}
