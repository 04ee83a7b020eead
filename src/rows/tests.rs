//! Rows through every pass at once: chunks, runs, files, passes, ranges, merge, against a plain sort.

use std::sync::Arc;

use proptest::prelude::*;

use super::order::hash_user;
use super::*;

/// User, timestamp, value prop, measure: its file and row number follow from where it stands.
pub(crate) type Event = (String, i64, String, u64);

fn event() -> impl Strategy<Value = Event> {
    ("[a-d]{1,2}|[ab]{15,17}", 0..4_i64, "[pq]", 0..3_u64)
}

/// What a row is once it is sorted, as values that can be compared.
type Placed = (u64, String, i64, String, u64, u32, u64);

fn placed(row: &Record, user: &[u8], names: &Interner) -> Placed {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (user, value_prop) = (text(user), text(names.name(row.value_prop)));
    (row.hash, user, row.timestamp_us, value_prop, row.measure, row.file, row.row_number)
}

/// Writes the events of one input file as a rows file, in chunks of `chunk` rows.
fn write(folder: &std::path::Path, name: usize, events: &[Event], chunk: usize) -> RowsFile {
    let path = folder.join(name.to_string());
    let mut writer = RowsWriter::new(fs_err::File::create(&path).unwrap()).unwrap();
    let (mut run, mut space) = (RunBuffer::default(), SortSpace::default());
    let mut sort = |run: &mut RunBuffer| {
        let run = std::mem::take(run);
        run.write_sorted(&mut writer, &mut space, &Sizes::TINY, |_| ()).unwrap();
    };
    for (index, part) in events.chunks(chunk).enumerate() {
        let mut rows = Chunk::default();
        for (row, (user, time, prop, measure)) in part.iter().enumerate() {
            let prop = rows.value_prop(prop);
            rows.push(user, *time, prop, *measure, row as u64, 0);
        }
        let rows = Arc::new(rows);
        let mut taken = 0;
        while taken < rows.len() {
            taken = run.fill(&rows, taken, (index * chunk) as u64, &Sizes::TINY);
            if run.is_full(&Sizes::TINY) {
                sort(&mut run);
            }
        }
    }
    if !run.is_empty() {
        sort(&mut run);
    }
    writer.finish().unwrap();
    RowsFile::open(&path).unwrap()
}

/// Writes events as one run in blocks of two rows: what preprocess leaves behind.
pub(crate) fn write_one_run(path: &std::path::Path, events: &[Event]) -> RowsFile {
    let sizes = Sizes { run_rows: 1 << 20, run_text_bytes: 16 << 20, ..Sizes::TINY };
    let mut rows = Chunk::default();
    for (row, (user, time, prop, measure)) in events.iter().enumerate() {
        let prop = rows.value_prop(prop);
        rows.push(user, *time, prop, *measure, row as u64, 0);
    }
    let mut run = RunBuffer::default();
    let mut writer = RowsWriter::new(fs_err::File::create(path).unwrap()).unwrap();
    let rows = Arc::new(rows);
    assert_eq!(run.fill(&rows, 0, 0, &sizes), rows.len());
    run.write_sorted(&mut writer, &mut SortSpace::default(), &sizes, |_| ()).unwrap();
    writer.finish().unwrap();
    RowsFile::open(path).unwrap()
}

/// Ranges that begin exactly at the hash of a user, each of about `part_rows` events.
pub(crate) fn cut_at_users<'e>(
    events: impl IntoIterator<Item = &'e Event>,
    part_rows: u64,
) -> Vec<HashRange> {
    let mut hashes: Vec<u64> =
        events.into_iter().map(|event| hash_user(event.0.as_bytes())).collect();
    hashes.sort_unstable();
    let mut starts: Vec<u64> = hashes.chunks(part_rows as usize).map(|part| part[0]).collect();
    starts.dedup();
    if let Some(first) = starts.first_mut() {
        *first = 0;
    } else {
        starts.push(0);
    }
    let ends = starts.iter().skip(1).copied().map(Some).chain([None]);
    starts.iter().zip(ends).map(|(&start, end)| HashRange { start, end }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn users_are_walked_one_by_one_and_passed_over_as_asked(
        events in prop::collection::vec(event(), 0..60),
        part_rows in 1..40_u64,
        taken in prop::collection::vec((0..4_u8, 1..4_usize), 1..20),
        since in 0..5_i64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = write_one_run(&folder.path().join("run"), &events);
        let mut model = std::collections::BTreeMap::<(u64, &str), Vec<(i64, u64)>>::new();
        for (user, time, _, measure) in &events {
            model.entry((hash_user(user.as_bytes()), user)).or_default().push((*time, *measure));
        }
        let mut taken = taken.iter().cycle();
        let mut seen = 0;
        for range in cut_at_users(&events, part_rows) {
            let is_inside = |hash: u64| hash >= range.start && range.is_before_end(hash);
            let mut left = model.iter().filter(|((hash, _), _)| is_inside(*hash)).peekable();
            seen += left.clone().count();
            let mut users = Users::new(&file, range).unwrap();
            while let Some(&((hash, user), rows)) = left.peek() {
                prop_assert_eq!((users.hash(), users.user()), (Some(*hash), user.as_bytes()));
                match taken.next().unwrap() {
                    // All rows, so many at a time.
                    (0, step) => {
                        let mut found = Vec::new();
                        loop {
                            let rows = users.rows();
                            prop_assert_eq!(users.timestamp_us(), rows.timestamps_us[0]);
                            let step = (*step).min(rows.timestamps_us.len());
                            let times = rows.timestamps_us.iter().copied();
                            found.extend(times.zip(rows.measures.iter().copied()).take(step));
                            if !users.take(step).unwrap() {
                                break;
                            }
                        }
                        prop_assert!(found.is_sorted_by_key(|row| row.0));
                        let mut rows = rows.clone();
                        rows.sort_unstable();
                        found.sort_unstable();
                        prop_assert_eq!(found, rows);
                        left.next();
                    }
                    // One row, then the next user.
                    (1, _) => {
                        if users.take(1).unwrap() {
                            users.skip_user().unwrap();
                        }
                        left.next();
                    }
                    (2, step) => {
                        let further = left.clone().nth(*step).map_or(u64::MAX, |(key, _)| key.0);
                        users.skip_to_hash(further).unwrap();
                        while left.next_if(|(key, _)| key.0 < further).is_some() {}
                    }
                    _ => {
                        users.skip_to_time(since).unwrap();
                        let is_late = |rows: &[(i64, u64)]| rows.iter().any(|row| row.0 >= since);
                        // It may stop at a user who has no such row, never pass over one who has.
                        while let Some(((hash, user), rows)) = left.peek() {
                            let stands = users.hash() == Some(*hash) && users.user() == user.as_bytes();
                            if stands {
                                users.skip_user().unwrap();
                                left.next();
                                break;
                            }
                            prop_assert!(!is_late(rows));
                            left.next();
                        }
                    }
                }
            }
            prop_assert_eq!(users.hash(), None);
        }
        prop_assert_eq!(seen, model.len());
    }

    #[test]
    fn gathered_ranges_laid_end_to_end_are_all_rows_sorted(
        files in prop::collection::vec(prop::collection::vec(event(), 0..30), 0..5),
        chunk in 1..8_usize,
        part_rows in 1..20_u64,
        most_bytes in 0..6_000_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut wanted = Vec::new();
        let mut opened = Vec::new();
        for (number, events) in files.iter().enumerate() {
            for (row, (user, time, prop, measure)) in events.iter().enumerate() {
                let (hash, file) = (hash_user(user.as_bytes()), number as u32);
                wanted.push((hash, user.clone(), *time, prop.clone(), *measure, file, row as u64));
            }
            let file = write(folder.path(), number, events, chunk);
            prop_assert_eq!(file.summary().rows, events.len() as u64);
            let times = events.iter().map(|event| event.1);
            prop_assert_eq!(file.summary().timestamps_us, times.clone().min().zip(times.max()));
            opened.push((file, Some(number as u32)));
        }
        wanted.sort();
        let mut spilled = 0;
        let merged = merge_in_passes(
            opened,
            Effort { fan_in: 2, threads: 2, most_bytes },
            &Sizes::TINY,
            || {
                spilled += 1;
                let path = folder.path().join(format!("spill {spilled}"));
                let options = fs_err::OpenOptions::new().create(true).write(true).open(path)?;
                Ok(options)
            },
            |file| RowsFile::open(file.path()),
        )
        .unwrap();
        let at_users = cut_at_users(files.iter().flatten(), part_rows);
        let runs = runs_of(&merged);
        prop_assert_eq!(runs.iter().map(Run::rows).sum::<u64>(), wanted.len() as u64);
        for ranges in [HashRange::split_evenly((wanted.len() as u64).div_ceil(part_rows)), at_users] {
            let (mut found, mut firsts) = (Vec::new(), Vec::new());
            let mut gatherer = Gatherer::default();
            for range in ranges {
                gatherer.each_row(&runs, range, most_bytes, |row, user, is_first, names| {
                    firsts.push(is_first);
                    found.push(placed(row, user, names));
                    Ok::<(), RowsError>(())
                })
                .unwrap();
            }
            prop_assert_eq!(&found, &wanted);
            for (at, is_first) in firsts.into_iter().enumerate() {
                prop_assert_eq!(is_first, at == 0 || wanted[at - 1].1 != wanted[at].1);
            }
        }
    }
}

#[test]
fn a_cut_or_foreign_file_is_damaged_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let events = [("u".to_owned(), 1, "p".to_owned(), 1), ("v".to_owned(), 2, "p".to_owned(), 1)];
    write(folder.path(), 0, &events, 1);
    let whole = fs_err::read(folder.path().join("0")).unwrap();
    for length in 0..whole.len() {
        let path = folder.path().join("cut");
        fs_err::write(&path, &whole[..length]).unwrap();
        let error = RowsFile::open(&path).unwrap_err();
        assert!(matches!(error, RowsError::Damaged { .. }), "{length}: {error}");
        assert!(error.to_string().contains("cut"));
    }
}

#[test]
fn only_one_run_is_walked_user_by_user() {
    let folder = tempfile::tempdir().unwrap();
    let event = |user: &str| (user.to_owned(), 1, "p".to_owned(), 1);
    let events: Vec<Event> = ["a", "b", "c", "d", "e"].map(event).into();
    let file = write(folder.path(), 0, &events, 1);
    assert!(file.runs() > 1);
    let error = Users::new(&file, HashRange::ALL).unwrap_err();
    assert!(error.to_string().ends_with("is damaged: more than one run"), "{error}");
}

#[test]
fn damage_makes_no_walk_over_users_panic() {
    let folder = tempfile::tempdir().unwrap();
    let event = |user: &str| (user.to_owned(), 86_400_000_000, "p".to_owned(), 1);
    let events: Vec<Event> = ["a", "a", "a", "b", "c", "c", "d"].map(event).into();
    let path = folder.path().join("run");
    write_one_run(&path, &events);
    let whole = fs_err::read(&path).unwrap();
    for at in 0..whole.len() {
        for byte in [0, 1, 2, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            fs_err::write(&path, &damaged).unwrap();
            let Ok(file) = RowsFile::open(&path) else { continue };
            let mut runs = 0..file.runs();
            let blocks = |run| file.blocks_in(run, &HashRange::ALL);
            if runs.any(|run| blocks(run).iter().any(|block| block.rows > 100)) {
                continue;
            }
            let Ok(mut users) = Users::new(&file, HashRange::ALL) else { continue };
            for _ in 0..20 {
                if users.hash().is_none() || users.skip_user().is_err() {
                    break;
                }
            }
        }
    }
}
