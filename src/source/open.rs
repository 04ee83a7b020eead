//! A raw file as a stream of bytes: decompressed by its suffix, its own bytes counted and hashed
//! on their way through.
//!
//! Every error names the file; a compressed file that ends too early is one. Does not know what
//! the bytes mean.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err::File;
use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::gzip::Members;

/// How much of a compressed file is read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads a raw file; see [`open`].
pub struct HashingReader {
    path: PathBuf,
    stream: Stream,
}

/// A file that was read to its end.
#[derive(Debug, Clone, Copy)]
pub struct FileRead {
    /// Of its own bytes, compressed or not.
    pub sha256: [u8; 32],
    /// How many there are.
    pub bytes: u64,
    /// How long hashing them took.
    pub hashing: Duration,
}

enum Stream {
    Plain(Hashed),
    Gzip(Box<Members<BufReader<Hashed>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Hashed>>>),
}

/// The file itself.
struct Hashed {
    file: File,
    hasher: Sha256,
    bytes: u64,
    /// How long hashing took so far.
    hashing: Duration,
}

/// Opens a raw file; `.gz` (all members) and `.zst` (all frames) are decompressed.
///
/// Zstandard lets a file demand memory, usually 8 MiB or less: more than an eighth of
/// `memory_bytes` is refused (but 8 MiB never, and never more than 128 MiB are given).
pub fn open(path: &Path, memory_bytes: u64) -> Result<HashingReader, SourceError> {
    let unreadable = |error: io::Error| SourceError::unreadable(path, &error);
    let file = File::open(path).map_err(unreadable)?;
    let hashed = Hashed { file, hasher: Sha256::new(), bytes: 0, hashing: Duration::ZERO };
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let stream = match suffix {
        Some("gz") => Stream::Gzip(Box::new(Members::new(buffered(hashed)).map_err(unreadable)?)),
        Some("zst") => {
            let mut decoder = zstd::Decoder::with_buffer(buffered(hashed)).map_err(unreadable)?;
            decoder.window_log_max(window_log(memory_bytes)).map_err(unreadable)?;
            Stream::Zstd(Box::new(decoder))
        }
        _ => Stream::Plain(hashed),
    };
    Ok(HashingReader { path: path.to_owned(), stream })
}

fn buffered(hashed: Hashed) -> BufReader<Hashed> {
    BufReader::with_capacity(BUFFER_BYTES, hashed)
}

fn window_log(memory_bytes: u64) -> u32 {
    (memory_bytes / 8).checked_ilog2().unwrap_or(0).clamp(23, 27)
}

impl HashingReader {
    /// What there is to say of the file itself; reads what is left of it.
    pub fn finish(self) -> Result<FileRead, SourceError> {
        let mut hashed = match self.stream {
            Stream::Plain(hashed) => hashed,
            Stream::Gzip(members) => {
                let broken_off = || io::Error::other("reading it broke off");
                let reader = members.into_inner().ok_or_else(broken_off);
                reader.map_err(|error| SourceError::unreadable(&self.path, &error))?.into_inner()
            }
            Stream::Zstd(decoder) => decoder.finish().into_inner(),
        };
        io::copy(&mut hashed, &mut io::sink())
            .map_err(|error| SourceError::unreadable(&self.path, &error))?;
        let Hashed { hasher, bytes, hashing, .. } = hashed;
        Ok(FileRead { sha256: hasher.finalize().into(), bytes, hashing })
    }

    fn error(&self, error: &io::Error) -> io::Error {
        let kind = error.kind();
        let reason = match (&self.stream, kind) {
            (Stream::Gzip(_) | Stream::Zstd(_), io::ErrorKind::UnexpectedEof) => {
                let reason = "the compressed data ends too early; is the file cut off?";
                SourceError::Unreadable { path: self.path.clone(), reason: reason.to_owned() }
            }
            _ => SourceError::unreadable(&self.path, error),
        };
        io::Error::new(kind, reason)
    }
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Plain(hashed) => hashed.read(buffer),
            Stream::Gzip(members) => members.read(buffer),
            Stream::Zstd(decoder) => decoder.read(buffer),
        };
        read.map_err(|error| self.error(&error))
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let began = Instant::now();
        self.hasher.update(&buffer[..count]);
        self.hashing += began.elapsed();
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What a file with these bytes reads as, its hash and its size.
    fn read(name: &str, bytes: &[u8]) -> Result<(Vec<u8>, [u8; 32], u64), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).unwrap();
        let mut reader = open(&path, 128 << 20).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map_err(|error| error.to_string())?;
        let FileRead { sha256, bytes, .. } = reader.finish().map_err(|error| error.to_string())?;
        Ok((text, sha256, bytes))
    }

    #[test]
    fn all_members_and_frames_are_read_and_the_hash_is_that_of_the_file_itself() {
        let text = b"one\ntwo\n".repeat(10_000);
        for (name, raw) in [
            ("a.json", [&text[..9], &text[9..]].concat()),
            ("a.json.gz", [gzip(&text[..9]), gzip(b""), gzip(&text[9..])].concat()),
            ("a.json.zst", [zstd(&text[..9]), zstd(b""), zstd(&text[9..])].concat()),
        ] {
            let (read, sha256, bytes) = read(name, &raw).unwrap();
            assert!(read == text, "{name}");
            assert_eq!(bytes, raw.len() as u64);
            assert_eq!(sha256[..], Sha256::digest(&raw)[..]);
        }
        assert_eq!(read("empty.gz", &gzip(b"")).unwrap().0, b"");
        assert_eq!(read("empty.json", b"").unwrap().0, b"");
    }

    #[test]
    fn a_compressed_file_cut_off_anywhere_is_an_error_that_names_it() {
        let first = gzip(b"first");
        let whole = [first.clone(), gzip(&[b'x'; 300])].concat();
        for end in (0..whole.len()).filter(|end| *end != first.len()) {
            let error = read("cut.gz", &whole[..end]).unwrap_err();
            assert!(error.contains("cut.gz`: the compressed data ends too early"), "{end} {error}");
        }
        let first = zstd(b"first");
        let whole = [first.clone(), zstd(&[b'x'; 300])].concat();
        for end in (0..whole.len()).filter(|end| *end != first.len()) {
            let error = read("cut.zst", &whole[..end]).unwrap_err();
            assert!(
                error.contains("cut.zst`: the compressed data ends too early"),
                "{end} {error}"
            );
        }
    }

    #[test]
    fn damaged_or_foreign_bytes_are_an_error_that_names_the_file() {
        let mut damaged = gzip(&[b'x'; 300]);
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        let trailing = [gzip(b"a"), b"garbage garbage".to_vec()].concat();
        for bytes in [damaged, trailing, b"plain text, no gzip".to_vec()] {
            assert!(read("bad.gz", &bytes).unwrap_err().contains("bad.gz`: "));
        }
        let mut damaged = zstd(&[b'x'; 300]);
        let at = damaged.len() - 1;
        damaged[at] ^= 1;
        let trailing = [zstd(b"a"), b"garbage garbage".to_vec()].concat();
        for bytes in [damaged, trailing, b"plain text, no zstd".to_vec()] {
            assert!(read("bad.zst", &bytes).unwrap_err().contains("bad.zst`: "));
        }
    }

    #[test]
    fn zeros_after_the_last_member_of_a_gzip_file_are_padding() {
        let text = b"one\ntwo\n".repeat(1000);
        for count in [1, 511, BUFFER_BYTES, BUFFER_BYTES * 2 + 7] {
            let zeros = vec![0; count];
            let raw = [gzip(&text[..9]), gzip(&text[9..]), zeros.clone()].concat();
            let (read_text, sha256, bytes) = read("tape.gz", &raw).unwrap();
            assert!(read_text == text, "{count}");
            assert_eq!(bytes, raw.len() as u64);
            assert_eq!(sha256[..], Sha256::digest(&raw)[..]);
            for after in [b"x".to_vec(), gzip(b"more")] {
                let raw = [gzip(&text), zeros.clone(), after].concat();
                let error = read("tape.gz", &raw).unwrap_err();
                let expected = "tape.gz`: other data follows the zeros after the last gzip member";
                assert!(error.contains(expected), "{count} {error}");
            }
        }
    }

    #[test]
    fn what_never_was_gzip_is_said_to_be_none() {
        for bytes in [b"a".to_vec(), b"a,b\n1\n".to_vec(), b"\x1fx".to_vec(), vec![0; 600]] {
            let error = read("text.gz", &bytes).unwrap_err();
            assert!(error.ends_with("text.gz`: it holds no gzip data"), "{error}");
        }
    }

    #[test]
    fn a_frame_that_demands_too_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"small").unwrap();
        let frame = encoder.finish().unwrap();
        assert!(read("large.zst", &frame).unwrap_err().contains("memory"));
        assert_eq!([0, 128 << 20, 1 << 30, u64::MAX].map(window_log), [23, 24, 27, 27]);
    }

    #[test]
    fn the_hash_covers_what_was_not_read() {
        let folder = tempfile::tempdir().unwrap();
        for (name, raw) in [("a.json", vec![7; 1 << 20]), ("a.gz", gzip(&vec![7; 1 << 20]))] {
            let path = folder.path().join(name);
            fs_err::write(&path, &raw).unwrap();
            let mut reader = open(&path, 0).unwrap();
            reader.read_exact(&mut [0; 10]).unwrap();
            let FileRead { sha256, bytes, .. } = reader.finish().unwrap();
            assert_eq!(
                (sha256[..].to_vec(), bytes),
                (Sha256::digest(&raw).to_vec(), raw.len() as u64)
            );
        }
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = open(Path::new("/nowhere/a.json"), 0).err().unwrap();
        assert!(error.to_string().starts_with("cannot read `/nowhere/a.json`: No such file"));
        let mut folder = open(Path::new("/"), 0).unwrap();
        let error = folder.read(&mut [0; 10]).unwrap_err();
        assert!(error.to_string().starts_with("cannot read `/`: "), "{error}");
    }
}
