//! Thirty-two bytes at a time: which of them are this or that, as one bit for each.
//!
//! With SSE2, which every x86-64 has; elsewhere eight bytes at a time in ordinary registers. Does not know what the bytes mean.

/// Bytes looked at together.
pub(super) type Window = [u8; WIDTH];

pub(super) const WIDTH: usize = 32;

/// The bytes from a place on, if so many are left.
#[inline(always)]
pub(super) fn at(bytes: &[u8], place: usize) -> Option<&Window> {
    bytes.get(place..)?.first_chunk()
}

/// A bit for each of the first `count` bytes.
#[inline(always)]
pub(super) fn first(count: usize) -> u32 {
    1_u32.checked_shl(count as u32).map_or(u32::MAX, |bit| bit - 1)
}

/// How many bytes come before the first whose bit is set.
#[inline(always)]
pub(super) fn before(bits: u32) -> usize {
    bits.trailing_zeros() as usize
}

/// Eight bytes as a number, the first byte lowest.
#[inline(always)]
pub(super) fn word(window: &Window, place: usize) -> Option<u64> {
    window.get(place..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

#[cfg(target_arch = "x86_64")]
pub(super) use sse2::*;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use words::*;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "measured: in eight-byte words lines take 2.6 (JSON) to 4 times (CSV) as long"
)]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_sub_epi8,
    };

    use super::Window;

    /// Declares a function of windows to bits by what it does to 16 bytes of each.
    macro_rules! bits {
        ($(#[$doc:meta])* $name:ident($($window:ident),+; $($byte:ident),*) $body:expr) => {
            $(#[$doc])*
            #[inline(always)]
            pub fn $name($($window: &Window,)+ $($byte: u8),*) -> u32 {
                #[inline]
                #[target_feature(enable = "sse2")]
                fn half($($window: __m128i,)+ $($byte: u8),*) -> u32 {
                    _mm_movemask_epi8($body) as u32
                }
                #[inline]
                #[target_feature(enable = "sse2")]
                fn whole($($window: &Window,)+ $($byte: u8),*) -> u32 {
                    let low = half($(load($window, 0),)+ $($byte),*);
                    low | half($(load($window, 1),)+ $($byte),*) << 16
                }
                // SAFETY: every x86-64 processor has SSE2; nothing else is asked for.
                unsafe { whole($($window,)+ $($byte),*) }
            }
        };
    }

    bits! {
        /// Where two windows are equal.
        equal(one, other;) _mm_cmpeq_epi8(one, other)
    }

    bits! {
        /// Where a byte stands.
        places(bytes; byte) _mm_cmpeq_epi8(bytes, all(byte))
    }

    bits! {
        /// Where either of two bytes stands.
        either(bytes; one, other)
        _mm_or_si128(_mm_cmpeq_epi8(bytes, all(one)), _mm_cmpeq_epi8(bytes, all(other)))
    }

    bits! {
        /// Where bytes are that end or interrupt a JSON string: quote, backslash, control character.
        string_stops(bytes;)
        _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, all(b'"')), _mm_cmpeq_epi8(bytes, all(b'\\'))),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, all(0x1f)), bytes),
        )
    }

    bits! {
        /// Where ASCII digits stand.
        digits(bytes;) {
            let value = _mm_sub_epi8(bytes, all(b'0'));
            _mm_cmpeq_epi8(_mm_min_epu8(value, all(9)), value)
        }
    }

    /// Half of a window.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(window: &Window, half: usize) -> __m128i {
        let (halves, _) = window.as_chunks::<16>();
        // SAFETY: reads the sixteen bytes of an array of sixteen, wherever it stands.
        unsafe { _mm_loadu_si128(halves[half].as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn all(byte: u8) -> __m128i {
        _mm_set1_epi8(byte as i8)
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::Window;

    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = LOW << 7;

    /// A byte eight times.
    #[inline(always)]
    fn every(byte: u8) -> u64 {
        LOW * u64::from(byte)
    }

    /// Gathers the highest bit of each byte, for four words.
    #[inline(always)]
    fn bits(window: &Window, mut of: impl FnMut(u64) -> u64) -> u32 {
        let (words, _) = window.as_chunks::<8>();
        let mut bits = 0;
        for (n, word) in words.iter().enumerate() {
            let high = of(u64::from_le_bytes(*word)) & HIGH;
            bits |= ((high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * n)) as u32;
        }
        bits
    }

    /// The highest bit of each byte that is zero; exact, unlike the usual trick.
    #[inline(always)]
    fn zeros(word: u64) -> u64 {
        !(((word & !HIGH) + !HIGH) | word)
    }

    /// The highest bit of each byte that is below a limit of at most 128.
    #[inline(always)]
    fn below(word: u64, limit: u8) -> u64 {
        !(((word & !HIGH) + every(128 - limit)) | word)
    }

    /// Where two windows are equal.
    #[inline(always)]
    pub fn equal(one: &Window, other: &Window) -> u32 {
        let mut n = 0;
        bits(one, |word| {
            let (words, _) = other.as_chunks::<8>();
            n += 1;
            zeros(word ^ u64::from_le_bytes(words[n - 1]))
        })
    }

    /// Where a byte stands.
    #[inline(always)]
    pub fn places(window: &Window, byte: u8) -> u32 {
        bits(window, |word| zeros(word ^ every(byte)))
    }

    /// Where either of two bytes stands.
    #[inline(always)]
    pub fn either(window: &Window, one: u8, other: u8) -> u32 {
        bits(window, |word| zeros(word ^ every(one)) | zeros(word ^ every(other)))
    }

    /// Where bytes are that end or interrupt a JSON string: quote, backslash, control character.
    #[inline(always)]
    pub fn string_stops(window: &Window) -> u32 {
        bits(window, |word| {
            let marks = zeros(word ^ every(b'"')) | zeros(word ^ every(b'\\'));
            marks | below(word, 0x20)
        })
    }

    /// Where ASCII digits stand.
    #[inline(always)]
    pub fn digits(window: &Window) -> u32 {
        bits(window, |word| below(word, b'9' + 1) & !below(word, b'0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(window: &Window, mut is: impl FnMut(usize, u8) -> bool) -> u32 {
        let bits = window.iter().enumerate().map(|(n, byte)| u32::from(is(n, *byte)) << n);
        bits.sum()
    }

    /// Bytes of all kinds, and often those that are looked for or next to them.
    fn windows() -> impl Strategy<Value = Window> {
        let near = prop::sample::select(b"\"!#\\[]\x1f\x20\x00\x7f\x80\xff\xa2/09:,\n\r".to_vec());
        prop::array::uniform32(prop_oneof![any::<u8>(), near])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn every_bit_is_that_of_its_byte(one in windows(), other in windows(), byte: u8) {
            let equals = naive(&one, |n, byte| byte == other[n]);
            prop_assert_eq!([equal(&one, &other), words::equal(&one, &other)], [equals; 2]);
            for byte in [byte, one[7]] {
                let places_of = naive(&one, |_, found| found == byte);
                prop_assert_eq!([places(&one, byte), words::places(&one, byte)], [places_of; 2]);
                let ours = [either(&one, byte, b'\n'), words::either(&one, byte, b'\n')];
                let eithers = naive(&one, |_, found| found == byte || found == b'\n');
                prop_assert_eq!(ours, [eithers; 2]);
            }
            let stops = naive(&one, |_, byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!([string_stops(&one), words::string_stops(&one)], [stops; 2]);
            let digit = naive(&one, |_, byte| byte.is_ascii_digit());
            prop_assert_eq!([digits(&one), words::digits(&one)], [digit; 2]);
        }
    }

    #[test]
    fn the_first_bits_are_counted_up_to_all() {
        assert_eq!([0, 1, 31, 32, 33].map(first), [0, 1, u32::MAX >> 1, u32::MAX, u32::MAX]);
        assert_eq!(before(0), 32);
    }
}
