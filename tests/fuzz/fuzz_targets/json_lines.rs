//! Lines of JSON: blocks of them against serde_json, line by line.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// Values that matter to some rule, or to the fast reading.
const VALUES: &[&[u8]] = &[
    b"day",
    b"event_data",
    b"position",
    b"value_prop",
    b"user_id",
    b"null",
    b"nul",
    b"true",
    b"[]",
    b"{}",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\n",
    b"\\u0061",
    b"\\ud800",
    b"\"1\"",
    b"0",
    b"1",
    b"-1",
    b"-0",
    b"01",
    b"1.0",
    b"1e5",
    b"123456789012345678",
    b"999999999999999999",
    b"9223372036854775807",
    b"9223372036854775808",
    b"1234567890123456789012345678901",
    b"12345678901234567890123456789012",
    b"2020-11-01",
    b"2020-11-02",
    b"2015-12-02",
    b"2015-12-03",
    b"2020-11-31",
    b" 2020-11-01",
    b"2020-11-01T10:00:00Z",
    b"2020-11-01 10:00:00.123456789+00:30",
    b"p",
    b"prepaid",
    b"credits_consumer",
    b" prepaid",
    b"\xc3\xa9",
    b"\xe3\x80\x80p",
    b"\xf0\x9d\x84\x9e",
    b"\xff",
    b"\0",
    b"\t",
    b"\r",
    b"                                ",
    &[b'x'; 31],
    &[b'x'; 32],
    &[b'x'; 100],
    &[b'x'; 101],
    &[b'x'; 512],
    &[b'x'; 600],
];

fuzz_target!(|file: &[u8]| mp_fuzz::check(file, None));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mp_fuzz::mutate(data, size, max_size, seed, VALUES)
});
