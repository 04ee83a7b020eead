//! Short texts that were judged before, and what they were found to be.
//!
//! Log files say the same few days and value propositions over and over. Finding one again is
//! one look at a table and one comparison, whatever its length. Does not know any rule.

use super::window::{self, WIDTH, Window};

/// The longest text that is kept.
const LONGEST: usize = WIDTH - 1;

/// The places in the table; a power of two.
const SLOTS: usize = 128;

/// In how many places next to each other a text may be; a power of two.
const NEAR: usize = 4;

/// Up to [`SLOTS`] texts with a value each.
#[derive(Debug)]
pub(super) struct Known<T> {
    slots: Box<[Slot<T>]>,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Slot<T> {
    text: Window,
    /// 0 if the place is free.
    length: usize,
    value: T,
}

impl<T: Copy + Default> Known<T> {
    pub fn new() -> Known<T> {
        let free = Slot { text: [0; WIDTH], length: 0, value: T::default() };
        Known { slots: vec![free; SLOTS].into_boxed_slice() }
    }

    /// The value of the text that a window begins with and that is `length` bytes long.
    #[inline(always)]
    pub fn find(&self, window: &Window, length: usize) -> Option<T> {
        let place = place(window, length)?;
        let slot = self.slots.get(place)?;
        if slot.holds(window, length) {
            Some(slot.value)
        } else {
            self.find_near(place, window, length)
        }
    }

    #[inline(never)]
    fn find_near(&self, place: usize, window: &Window, length: usize) -> Option<T> {
        let mut slots = (1..NEAR).filter_map(|n| self.slots.get(place ^ n));
        slots.find(|slot| slot.holds(window, length)).map(|slot| slot.value)
    }

    /// Keeps a text that is not kept yet, unless there is no room. Another one may have to make
    /// room if `evict` says so.
    pub fn keep(&mut self, text: &[u8], value: T, evict: bool) -> bool {
        let mut window = [0; WIDTH];
        let Some(start) = window.get_mut(..text.len()) else { return false };
        start.copy_from_slice(text);
        let Some(place) = place(&window, text.len()) else { return false };
        let free = (0..NEAR).map(|n| place ^ n).find(|place| self.slots[*place].length == 0);
        let Some(place) = free.or(evict.then_some(place)) else { return false };
        self.slots[place] = Slot { text: window, length: text.len(), value };
        true
    }
}

impl<T> Slot<T> {
    #[inline(always)]
    fn holds(&self, window: &Window, length: usize) -> bool {
        let same = window::equal(window, &self.text) | !window::first(length);
        self.length == length && same == u32::MAX
    }
}

/// Where a text belongs, by its first and its last eight bytes. It is the text alone that
/// decides, not what follows it in the window.
#[inline(always)]
fn place(window: &Window, length: usize) -> Option<usize> {
    if !(1..=LONGEST).contains(&length) {
        return None;
    }
    let unused = 64 - 8 * length.min(8);
    let head = window::word(window, 0)? << unused;
    let tail = window::word(window, length.saturating_sub(8))? << unused;
    let mixed = (head ^ tail.rotate_left(29)).wrapping_add(length as u64);
    let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((hash >> (64 - SLOTS.ilog2())) as usize & (SLOTS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str, rest: u8) -> Window {
        let mut window = [rest; WIDTH];
        window[..text.len()].copy_from_slice(text.as_bytes());
        window
    }

    #[test]
    fn a_text_is_found_whatever_follows_it_and_no_other_text_is() {
        let mut known = Known::new();
        let texts = ["a", "bc", "prepaid", "12345678", "987654321", "credits_consumer"];
        let longest = "x".repeat(LONGEST);
        for (n, text) in texts.into_iter().chain([longest.as_str()]).enumerate() {
            assert!(known.keep(text.as_bytes(), n + 1, true));
            for rest in [0, b'"', 0xff] {
                assert_eq!(known.find(&window(text, rest), text.len()), Some(n + 1));
            }
            assert_eq!(known.find(&window(text, b'x'), text.len() - 1), None);
            let mut other = window(text, b'"');
            other[text.len() - 1] ^= 1;
            assert_eq!(known.find(&other, text.len()), None, "{text}");
        }
        assert!(!known.keep(b"", 0, true) && !known.keep(&[b'x'; WIDTH], 0, true));
        assert_eq!(known.find(&window("", b'x'), 0), None);
        assert_eq!(known.find(&[b'x'; WIDTH], WIDTH), None);
    }

    #[test]
    fn a_text_gives_way_only_if_it_may() {
        let mut known = Known::new();
        let texts: Vec<String> = (0..10_000).map(|n| format!("text {n}")).collect();
        let kept: Vec<&String> =
            texts.iter().filter(|text| known.keep(text.as_bytes(), text.len(), false)).collect();
        assert!(kept.len() <= SLOTS && kept.len() > SLOTS / 2);
        let found =
            |known: &Known<usize>, text: &str| known.find(&window(text, 0), text.len()).is_some();
        assert!(kept.iter().all(|text| found(&known, text)));
        assert!(known.keep(b"another", 7, true) && found(&known, "another"));
    }
}
