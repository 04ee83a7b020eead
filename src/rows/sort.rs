//! Sorting many rows by the hash of their user, and the few rows of one user among themselves.
//!
//! A key is the hash above the place of the row, so keys are distinct and the sort is stable.
//! Hashes are spread evenly: one scatter by their leading bits leaves small buckets, each within
//! the first cache. Equal hashes, however many, are in order already and cost one look.

use std::cmp::Ordering;

use super::record::{Record, UserText};

/// Keys that a bucket should have.
const BUCKET_KEYS: usize = 256;
/// Rows fetched at a time: enough to wait for many at once, few enough for the first cache.
const FETCHED: usize = 256;
/// More buckets than this make a scatter slower than the sorting that it saves.
const MOST_BUCKETS_LOG2: u32 = 12;

/// The key of the row at `place`.
#[inline]
pub fn key(hash: u64, place: u64) -> u128 {
    u128::from(hash) << 64 | u128::from(place)
}

/// The hash in a key.
#[inline]
pub fn hash_of(key: u128) -> u64 {
    (key >> 64) as u64
}

/// The place in a key.
#[inline]
pub fn place_of(key: u128) -> u64 {
    key as u64
}

/// Sorts keys; `scratch` is working space that can be used again.
pub fn sort_keys(keys: &mut Vec<u128>, scratch: &mut Vec<u128>) {
    let bits = (keys.len() / BUCKET_KEYS).checked_ilog2().unwrap_or(0).min(MOST_BUCKETS_LOG2);
    let hashes = || keys.iter().map(|&key| hash_of(key));
    let (least, most) = hashes().fold((u64::MAX, 0), |(least, most), hash| {
        (least.min(hash), most.max(hash))
    });
    let spread_bits = most.saturating_sub(least).checked_ilog2().map_or(0, |bits| bits + 1);
    if bits < 2 || spread_bits < bits {
        keys.sort_unstable();
        return;
    }
    let shift = spread_bits - bits;
    let bucket_of = |key: u128| ((hash_of(key) - least) >> shift) as usize;
    let mut ends = vec![0_usize; 1 << bits];
    for &key in &*keys {
        ends[bucket_of(key)] += 1;
    }
    let mut start = 0;
    for end in &mut ends {
        start += std::mem::replace(end, start);
    }
    scratch.clear();
    scratch.resize(keys.len(), 0);
    for &key in &*keys {
        let place = &mut ends[bucket_of(key)];
        scratch[*place] = key;
        *place += 1;
    }
    std::mem::swap(keys, scratch);
    let mut rest = &mut keys[..];
    let mut start = 0;
    for end in ends {
        let (bucket, after) = rest.split_at_mut(end - start);
        bucket.sort_unstable();
        (rest, start) = (after, end);
    }
}

/// Records fetched at a time, and the ids that are too long for them.
#[derive(Debug, Default)]
pub struct Fetched {
    records: Vec<Record>,
    long: Vec<u8>,
}

/// Gives the rows of sorted keys to `each`, with their user ids; those with equal hashes in user
/// order, where `ranks` says how the value props follow one another.
///
/// `fetch` gives the row at a place with its user id. Rows lie far apart, so some hundred are
/// fetched side by side before any is looked at.
pub fn each_in_order<'t, E>(
    keys: &[u128],
    fetched: &mut Fetched,
    ranks: &[u32],
    fetch: impl Fn(u64) -> (Record, &'t [u8]),
    mut each: impl FnMut(&Record, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let Fetched { records, long } = fetched;
    let mut rest = keys;
    while !rest.is_empty() {
        let mut end = FETCHED.min(rest.len());
        // A user stays in one piece.
        while end < rest.len() && hash_of(rest[end]) == hash_of(rest[end - 1]) {
            end += 1;
        }
        let (now, after) = rest.split_at(end);
        rest = after;
        records.clear();
        long.clear();
        records.extend(now.iter().map(|&key| {
            let (mut record, user) = fetch(place_of(key));
            if !record.user.is_inline() {
                record.user = UserText::new(user, long);
            }
            record
        }));
        let mut rows = &mut records[..];
        while let Some(first) = rows.first() {
            let hash = first.hash;
            let length = rows.iter().take_while(|row| row.hash == hash).count();
            let (group, after) = rows.split_at_mut(length);
            let order = |a: &Record, b: &Record| user_order(a, b, long, ranks);
            if !group.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
                group.sort_unstable_by(order);
            }
            group.iter().try_for_each(|record| each(record, record.user.get(long)))?;
            rows = after;
        }
    }
    Ok(())
}

/// The user order of two rows with the same hash.
#[inline]
fn user_order(a: &Record, b: &Record, long: &[u8], ranks: &[u32]) -> Ordering {
    let same = a.user == b.user && a.user.is_inline();
    let user = if same { Ordering::Equal } else { a.user.get(long).cmp(b.user.get(long)) };
    let rank = |record: &Record| ranks[record.value_prop as usize];
    user.then_with(|| a.timestamp_us.cmp(&b.timestamp_us))
        .then_with(|| rank(a).cmp(&rank(b)))
        .then_with(|| a.measure.cmp(&b.measure))
        .then_with(|| a.file.cmp(&b.file))
        .then_with(|| a.row_number.cmp(&b.row_number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_keys_are_sorted(
            hashes in prop::collection::vec(any::<u64>(), 0..3000), shift in 0..64_u32, few in any::<bool>(),
        ) {
            let hashes = hashes.iter().map(|hash| if few { hash % 3 } else { hash >> shift });
            let mut keys: Vec<u128> =
                hashes.enumerate().map(|(place, hash)| key(hash, place as u64)).collect();
            let mut wanted = keys.clone();
            wanted.sort();
            sort_keys(&mut keys, &mut vec![7]);
            prop_assert_eq!(&keys, &wanted);
        }
    }
}
