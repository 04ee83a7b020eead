//! One row in one line of the processor's cache: what is gathered, sorted and handed on.
//!
//! A short user id lies in the record itself, a longer one in a text beside the records. Value
//! props are numbers of an [`Interner`](super::Interner) that goes with the records. Knows
//! nothing of blocks and files.

/// Ids of up to so many bytes lie in the record.
const INLINE_BYTES: usize = 15;
/// The last byte of an id that lies elsewhere.
const ELSEWHERE: u8 = 0xff;

/// A user id: the bytes and their number, or where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserText([u8; 16]);

impl UserText {
    /// Keeps an id; one that is long goes to the end of `long`.
    #[inline]
    pub fn new(user: &[u8], long: &mut Vec<u8>) -> UserText {
        let mut bytes = [0; 16];
        if user.len() > INLINE_BYTES {
            bytes[..8].copy_from_slice(&(long.len() as u64).to_le_bytes());
            bytes[8..12].copy_from_slice(&(user.len() as u32).to_le_bytes());
            bytes[15] = ELSEWHERE;
            long.extend_from_slice(user);
            return UserText(bytes);
        }
        // Two copies of a fixed length that overlap are several times as fast as one of any length.
        if let (Some(first), Some(last)) = (user.first_chunk::<8>(), user.last_chunk::<8>()) {
            bytes[..8].copy_from_slice(first);
            bytes[user.len() - 8..user.len()].copy_from_slice(last);
        } else if let (Some(first), Some(last)) = (user.first_chunk::<4>(), user.last_chunk::<4>())
        {
            bytes[..4].copy_from_slice(first);
            bytes[user.len() - 4..user.len()].copy_from_slice(last);
        } else {
            bytes[..user.len()].copy_from_slice(user);
        }
        bytes[15] = user.len() as u8;
        UserText(bytes)
    }

    /// The id; `long` is what it was kept with.
    #[inline]
    pub fn get<'t>(&'t self, long: &'t [u8]) -> &'t [u8] {
        let length = self.0[15];
        if length != ELSEWHERE {
            return &self.0[..usize::from(length)];
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.0;
        let offset = u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize;
        &long[offset..offset + u32::from_le_bytes([i, j, k, l]) as usize]
    }

    /// Whether it is the same id as another one kept with the same `long`.
    #[inline]
    pub fn is_same(&self, other: &UserText, long: &[u8]) -> bool {
        // One place in `long` has one id.
        self.0 == other.0 || (!self.is_inline() && self.get(long) == other.get(long))
    }

    /// Whether the id lies in the record.
    #[inline]
    pub fn is_inline(&self) -> bool {
        self.0[15] != ELSEWHERE
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Record {
    /// [`hash_user`](super::hash_user) of the user.
    pub hash: u64,
    /// The user id.
    pub user: UserText,
    /// Microseconds since 1970 UTC.
    pub timestamp_us: i64,
    /// Position + 1 with 0 for none, or the amount in cents.
    pub measure: u64,
    /// The row's number in its file, from 0.
    pub row_number: u64,
    /// The number of the value prop.
    pub value_prop: u32,
    /// Which source file, counted in byte order of their names.
    pub file: u32,
    /// Soft issues of the row, 0 to 4.
    pub soft_issues: u8,
}

const _: () = assert!(size_of::<Record>() == 64);

impl Record {
    /// Fills a place until a row comes there.
    pub(super) const NONE: Record = Record {
        hash: 0,
        user: UserText([0; 16]),
        timestamp_us: 0,
        measure: 0,
        row_number: 0,
        value_prop: 0,
        file: 0,
        soft_issues: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_every_length_come_back() {
        let mut long = Vec::new();
        let texts: Vec<Vec<u8>> =
            (0..40).map(|length| vec![b'a' + length; length.into()]).collect();
        let kept: Vec<UserText> = texts.iter().map(|text| UserText::new(text, &mut long)).collect();
        for (text, kept) in texts.iter().zip(&kept) {
            assert_eq!(kept.get(&long), text);
            assert_eq!(kept.is_inline(), text.len() <= INLINE_BYTES);
        }
        assert_eq!(long.len(), (16..40).sum::<usize>());
    }
}
