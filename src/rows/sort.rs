//! Records in user order.
//!
//! A key is the leading bits of a hash above the place of its record. Hashes are spread evenly:
//! one scatter of the keys by their leading bits leaves small buckets, each within the first
//! cache. Equal hashes, however many, are in order already and cost one look. Then the few rows
//! of a user are put in order among themselves.

use std::cmp::Ordering;

use super::record::{Record, UserText};

/// Keys that a bucket should have.
const BUCKET_KEYS: usize = 32;
/// More buckets than this make a scatter slower than the sorting that it saves.
const MOST_BUCKETS_LOG2: u32 = 12;
/// Records fetched at a time: enough to wait for many at once, few enough for the first cache.
const FETCHED: usize = 256;

/// Sorts records; its working space can be used again.
#[derive(Debug, Default)]
pub struct Sorter {
    keys: Vec<u64>,
    scratch: Vec<u64>,
    ends: Vec<u32>,
    fetched: Vec<Record>,
}

impl Sorter {
    /// Gives records to `each` in user order, with their user ids and whether the record is the
    /// first of its user. `hashes` are theirs, `long` has the ids too long for a record, `ranks`
    /// says how the value props follow one another.
    ///
    /// Less than 4 Gi records. They stay where they are: those far apart are fetched some hundred
    /// at a time, side by side, before any is looked at.
    pub fn each_in_order<E>(
        &mut self,
        records: &[Record],
        hashes: impl ExactSizeIterator<Item = u64> + Clone,
        long: &[u8],
        ranks: &[u32],
        mut each: impl FnMut(&Record, &[u8], bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let place_bits = self.make_keys(hashes);
        self.sort_keys();
        let place = |key: u64| (key & ((1 << place_bits) - 1)) as usize;
        let same = |a: u64, b: u64| (a ^ b) >> place_bits == 0;
        let fetched = &mut self.fetched;
        let mut rest = &self.keys[..];
        while !rest.is_empty() {
            let mut end = FETCHED.min(rest.len());
            // A user stays in one piece.
            while end < rest.len() && same(rest[end], rest[end - 1]) {
                end += 1;
            }
            let (now, after) = rest.split_at(end);
            rest = after;
            fetched.clear();
            fetched.extend(now.iter().map(|&key| records[place(key)]));
            let (mut rows, mut keys) = (&mut fetched[..], now);
            while let Some(&first) = keys.first() {
                let length = keys.iter().take_while(|&&key| same(key, first)).count();
                let (group, after) = rows.split_at_mut(length);
                (rows, keys) = (after, &keys[length..]);
                if let Some((one, others)) = group.split_first()
                    && others.iter().all(|other| other.user == one.user)
                {
                    sort_if_needed(group, |a, b| row_order(a, b, ranks));
                } else {
                    sort_if_needed(group, |a, b| user_order(a, b, long, ranks));
                }
                let mut last: Option<&UserText> = None;
                for record in &*group {
                    let is_first = last.is_none_or(|last| !record.user.is_same(last, long));
                    each(record, record.user.get(long), is_first)?;
                    last = Some(&record.user);
                }
            }
        }
        Ok(())
    }

    /// Makes the key of each record; its lower bits, as many as are returned, are the place.
    fn make_keys(&mut self, hashes: impl ExactSizeIterator<Item = u64> + Clone) -> u32 {
        let place_bits = hashes.len().checked_ilog2().unwrap_or(0) + 1;
        let all = hashes.clone();
        let (least, most) =
            all.fold((u64::MAX, 0), |(least, most), hash| (least.min(hash), most.max(hash)));
        // Hashes of a range have bits in common, which need no room in the key.
        let common = most.saturating_sub(least).leading_zeros().min(63);
        let leading = |hash: u64| (hash.wrapping_sub(least) << common) >> place_bits << place_bits;
        self.keys.clear();
        self.keys.extend(hashes.zip(0..).map(|(hash, place): (u64, u64)| leading(hash) | place));
        place_bits
    }

    fn sort_keys(&mut self) {
        let Sorter { keys, scratch, ends, .. } = self;
        let bits = (keys.len() / BUCKET_KEYS).checked_ilog2().unwrap_or(0).min(MOST_BUCKETS_LOG2);
        if bits < 2 {
            keys.sort_unstable();
            return;
        }
        let bucket_of = |key: u64| (key >> (64 - bits)) as usize;
        ends.clear();
        ends.resize(1 << bits, 0);
        for &key in &*keys {
            ends[bucket_of(key)] += 1;
        }
        let mut start = 0;
        for end in &mut *ends {
            start += std::mem::replace(end, start);
        }
        scratch.clear();
        scratch.resize(keys.len(), 0);
        for &key in &*keys {
            let place = &mut ends[bucket_of(key)];
            scratch[*place as usize] = key;
            *place += 1;
        }
        std::mem::swap(keys, scratch);
        let (mut rest, mut start) = (&mut keys[..], 0);
        for &end in &*ends {
            let (bucket, after) = rest.split_at_mut((end - start) as usize);
            bucket.sort_unstable();
            (rest, start) = (after, end);
        }
    }
}

/// Files follow one another in time more often than not, so rows are often in order already.
#[inline]
fn sort_if_needed(group: &mut [Record], order: impl Fn(&Record, &Record) -> Ordering) {
    if !group.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
        group.sort_unstable_by(order);
    }
}

/// The user order of two records.
fn user_order(a: &Record, b: &Record, long: &[u8], ranks: &[u32]) -> Ordering {
    a.hash
        .cmp(&b.hash)
        .then_with(|| a.user.get(long).cmp(b.user.get(long)))
        .then_with(|| row_order(a, b, ranks))
}

/// The user order of two records of one user.
#[inline]
fn row_order(a: &Record, b: &Record, ranks: &[u32]) -> Ordering {
    let rank = |record: &Record| ranks[record.value_prop as usize];
    let rest = |record: &Record| (record.measure, record.file, record.row_number);
    a.timestamp_us
        .cmp(&b.timestamp_us)
        .then_with(|| rank(a).cmp(&rank(b)))
        .then_with(|| rest(a).cmp(&rest(b)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_records_are_sorted(
            rows in prop::collection::vec((any::<u64>(), "[ab]{0,2}|[ab]{15,17}", 0..3_u64), 0..3000),
            shift in 0..64_u32, few in any::<bool>(),
        ) {
            let mut long = Vec::new();
            let record = |(row, (hash, user, measure)): (usize, &(u64, String, u64))| Record {
                hash: if few { hash % 3 } else { hash >> shift },
                user: UserText::new(user.as_bytes(), &mut long),
                timestamp_us: 0,
                measure: *measure,
                row_number: row as u64,
                value_prop: 0,
                file: 0,
                soft_issues: 0,
            };
            let records: Vec<Record> = rows.iter().enumerate().map(record).collect();
            let key = |record: &Record, user: &[u8]| {
                (record.hash, user.to_vec(), record.measure, record.row_number)
            };
            let keys = records.iter().map(|record| key(record, record.user.get(&long)));
            let mut wanted: Vec<_> = keys.collect();
            wanted.sort();
            let mut found = Vec::new();
            let mut firsts = Vec::new();
            let hashes = records.iter().map(|record| record.hash);
            Sorter::default().each_in_order(&records, hashes, &long, &[0], |record, user, is_first| {
                found.push(key(record, user));
                firsts.push(is_first);
                Ok::<(), ()>(())
            }).unwrap();
            let whose = |at: usize| (&wanted[at].0, &wanted[at].1);
            for (at, is_first) in firsts.into_iter().enumerate() {
                prop_assert_eq!(is_first, at == 0 || whose(at - 1) != whose(at));
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
