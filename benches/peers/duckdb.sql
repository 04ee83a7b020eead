-- The whole job in DuckDB, run step by step by duckdb_job.py, which fills in $RAW and $OUT and sets
-- the variable as_of.
--
-- Each source is read once. A row of the usual form is checked and converted by cheap tests in the
-- same pass; its line number is its rowid. Every other row, about one in 300, keeps its text and
-- goes through the full rules (macros *_slow). Users and value props get integer codes, so that the
-- keys of joins are one BIGINT.

-- step: start
SET TimeZone = 'UTC';
-- The small table is always on the right here; the estimates for raw files are not that good.
SET disabled_optimizers = 'join_order,build_side_probe_side';
SET VARIABLE oldest = getvariable('as_of') - INTERVAL 1825 DAY;
-- Unicode White_Space.
SET VARIABLE white = (SELECT string_agg(chr(c), '') FROM unnest([9, 10, 11, 12, 13, 32, 133, 160,
    5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287,
    12288]) w(c));
CREATE MACRO trimmed(s) AS trim(s, getvariable('white'));
CREATE MACRO id(s) AS CASE WHEN length(trimmed(s)) BETWEEN 1 AND 100 THEN trimmed(s) END;
CREATE MACRO offset_of(s) AS
    CASE WHEN length(s) > 10 AND regexp_matches(s, '[+-][0-9]{2}:[0-9]{2}$')
    THEN CAST(s[-6:-6] || '1' AS INTEGER)
        * to_minutes(60 * CAST(s[-5:-4] AS INTEGER) + CAST(s[-2:] AS INTEGER))
    ELSE INTERVAL 0 MINUTE END;
CREATE MACRO instant(s) AS CASE
    WHEN regexp_full_match(s, '[0-9]{4}-[0-9]{2}-[0-9]{2}')
    THEN CAST(TRY_CAST(s AS DATE) AS TIMESTAMP)
    WHEN regexp_full_match(s, '[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5]'
        || '[0-9](\.[0-9]{1,9})?([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?')
    THEN TRY_CAST(s[1:10] || ' ' || s[12:19] || regexp_extract(s, '\.[0-9]{1,6}') AS TIMESTAMP)
        - offset_of(s) END;
-- 1 where the text had white space around it or an offset other than zero.
CREATE MACRO instant_soft(s) AS
    CAST(trimmed(s) <> s OR offset_of(trimmed(s)) <> INTERVAL 0 MINUTE AS INTEGER);
CREATE MACRO known(t) AS
    coalesce(t >= getvariable('oldest') AND t < getvariable('as_of'), false);
-- The usual forms: NULL for anything that is not exactly of them.
CREATE MACRO usual_day(s) AS CASE
    WHEN strlen(s) = 10 AND CAST(TRY_CAST(s AS DATE) AS VARCHAR) = s
        AND known(CAST(CAST(s AS DATE) AS TIMESTAMP))
    THEN CAST(s AS DATE) END;
CREATE MACRO usual_user(s) AS CASE
    WHEN CAST(TRY_CAST(s AS BIGINT) AS VARCHAR) = s AND CAST(s AS BIGINT) BETWEEN 0 AND 1::BIGINT << 46
    THEN CAST(s AS BIGINT) END;

-- The value props of the first rows, so that a value prop is a byte from the start.
CREATE MACRO json_lines(file) AS TABLE
SELECT line, f[1] AS day, f[2] AS u, f[3] AS p, f[4] AS v FROM (
    SELECT CAST(json AS VARCHAR) AS line, CAST(json->['$.day', '$.user_id', '$.event_data.position',
        '$.event_data.value_prop'] AS VARCHAR[]) AS f
    FROM read_json_objects(file, format = 'newline_delimited', ignore_errors = true,
        maximum_object_size = 1048576));
CREATE TEMP TABLE props AS SELECT v FROM (
    SELECT DISTINCT v AS j, v->>'$' AS v FROM (
        SELECT v FROM json_lines('$RAW/prints.json') LIMIT 100000))
WHERE j = '"' || v || '"' AND v = id(v) AND NOT contains(v, chr(92)) ORDER BY v;
CREATE TYPE prop AS ENUM (SELECT v FROM props);
CREATE TYPE quoted_prop AS ENUM (SELECT '"' || v || '"' FROM props);
CREATE TYPE small AS ENUM (SELECT CAST(p AS VARCHAR) FROM range(1000) r(p));

-- A line that starts like this and is exactly as long as the skeleton and its four values has each
-- key once: the 7 spaces of the skeleton leave no room for another one of ours.
CREATE MACRO events_fast(file) AS TABLE
SELECT CASE WHEN usual THEN d END AS d, CASE WHEN usual THEN u END AS u, v, p,
    CASE WHEN NOT usual THEN line END AS slow
FROM (
    SELECT *, coalesce(starts_with(line, '{"day": "') AND strlen(line) = size + strlen(
        '{"day": , "event_data": {"position": , "value_prop": }, "user_id": }'), false)
        AND d IS NOT NULL AND u IS NOT NULL AND v IS NOT NULL AND p IS NOT NULL AS usual
    FROM (
        SELECT line, strlen(day) + strlen(p) + strlen(v) + strlen(u) AS size,
            CASE WHEN strlen(day) = 12 THEN usual_day(day[2:11]) END AS d,
            usual_user(u) AS u, TRY_CAST(v AS quoted_prop) AS v, TRY_CAST(p AS small) AS p
        FROM json_lines(file)));
CREATE MACRO once(keys, key) AS len(list_filter(keys, lambda k: k = key)) <= 1;
CREATE MACRO json_text(j) AS CASE WHEN j[1] = '"' THEN j->>'$' END;
CREATE MACRO events_slow(rows) AS TABLE
SELECT n, t, u, v, p, soft,
    coalesce(keys_ok AND t >= getvariable('oldest') AND p_ok, false)
        AND u IS NOT NULL AND v IS NOT NULL AS valid
FROM (
    SELECT n, instant(trimmed(day)) AS t, id(coalesce(json_text(ju), ju)) AS u,
        id(json_text(jv)) AS v, TRY_CAST(CASE WHEN regexp_full_match(jp, '-?[0-9]+') THEN jp END
        AS BIGINT) AS p, jp IS NULL OR jp = 'null' OR p >= 0 AS p_ok,
        instant_soft(day) + CAST(p IS NULL AS INTEGER)
        + CAST(coalesce(u <> json_text(ju), false) OR v <> json_text(jv) AS INTEGER) AS soft,
        regexp_matches(ju, '^("|-?[0-9]+$)') AND once(keys, 'day') AND once(keys, 'user_id')
        AND once(keys, 'event_data') AND once(inner_keys, 'position')
        AND once(inner_keys, 'value_prop') AS keys_ok
    FROM (
        SELECT n, json_text(CAST(slow->'$.day' AS VARCHAR)) AS day,
            CAST(slow->'$.user_id' AS VARCHAR) AS ju,
            CAST(slow->'$.event_data.position' AS VARCHAR) AS jp,
            CAST(slow->'$.event_data.value_prop' AS VARCHAR) AS jv,
            json_keys(slow) AS keys, json_keys(slow, '$.event_data') AS inner_keys
        FROM query_table(rows) WHERE slow IS NOT NULL));

-- step: read prints
CREATE TEMP TABLE prints_fast AS FROM events_fast('$RAW/prints.json');

-- step: read taps
CREATE TEMP TABLE taps_fast AS FROM events_fast('$RAW/taps.json');

-- step: read payments
-- Split at every comma, quotes or not: a line with a quote, or with more or fewer than four parts,
-- is put together again and takes the slow way.
CREATE TEMP TABLE payments_fast AS
SELECT CASE WHEN usual THEN d END AS d, CASE WHEN usual THEN u END AS u, v,
    CASE WHEN usual THEN amount END AS amount,
    CASE WHEN NOT usual THEN concat_ws(',', c1, c2, c3, c4, c5, c6, c7, c8, c9) END AS slow
FROM (
    SELECT *, c5 IS NULL AND d IS NOT NULL AND u IS NOT NULL AND v IS NOT NULL
        AND coalesce(CAST(amount AS VARCHAR) = c2 AND amount BETWEEN 0.01 AND 1000000, false)
        AS usual
    FROM (
        SELECT *, usual_day(c1) AS d, TRY_CAST(c2 AS DECIMAL(9, 2)) AS amount, usual_user(c3) AS u,
            TRY_CAST(c4 AS prop) AS v
        FROM read_csv('$RAW/pays.csv', auto_detect = false, header = true, delim = ',', quote = '',
            escape = '', nullstr = chr(1), null_padding = true, ignore_errors = true,
            max_line_size = 1048576, columns = {c1: 'VARCHAR', c2: 'VARCHAR', c3: 'VARCHAR',
            c4: 'VARCHAR', c5: 'VARCHAR', c6: 'VARCHAR', c7: 'VARCHAR', c8: 'VARCHAR',
            c9: 'VARCHAR'})));

-- step: check the unusual rows
SET preserve_insertion_order = false;
CREATE TEMP VIEW prints_rows AS SELECT rowid AS n, slow FROM prints_fast;
CREATE TEMP VIEW taps_rows AS SELECT rowid AS n, slow FROM taps_fast;
CREATE TEMP TABLE prints_slow AS FROM events_slow(prints_rows);
CREATE TEMP TABLE taps_slow AS FROM events_slow(taps_rows);
CREATE TEMP TABLE payments_slow AS
SELECT n, t, u, v, TRY_CAST(cents * 0.01 AS DECIMAL(9, 2)) AS amount, soft,
    coalesce(t >= getvariable('oldest') AND exact <= 1000000 AND cents > 0, false)
        AND u IS NOT NULL AND v IS NOT NULL AS valid
FROM (
    -- Half to even.
    SELECT *, floor(exact * 100) AS whole, exact * 100 - whole AS rest,
        CAST(whole AS DECIMAL(18, 0))
        + CAST(rest > 0.5 OR (rest = 0.5 AND whole % 2 = 1) AS INTEGER) AS cents,
        instant_soft(f[1]) + CAST(u <> f[3] OR v <> f[4] AS INTEGER)
        + CAST(cents <> exact * 100 AS INTEGER) AS soft
    FROM (
        SELECT n, f, instant(trimmed(f[1])) AS t, id(f[3]) AS u, id(f[4]) AS v,
            CASE WHEN regexp_full_match(trimmed(f[2]),
                '[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?')
            THEN TRY_CAST(trimmed(f[2]) AS DECIMAL(38, 18)) END AS exact
        FROM (
            SELECT n, list_transform(
                regexp_extract_all(slow || ',', '("(?:[^"]|"")*"|[^",][^,]*|),', 1),
                lambda x: CASE WHEN x[1] = '"' THEN replace(x[2:-2], '""', '"') ELSE x END) AS f
            FROM (SELECT rowid AS n, slow FROM payments_fast WHERE slow IS NOT NULL)
            WHERE regexp_full_match(slow || ',', '(("([^"]|"")*"|[^",][^,]*|),){4}'))));
-- Codes: a user is its number, any other name a negative one; value props go on from the enum.
CREATE TEMP TABLE slow_rows AS
SELECT u, v FROM prints_slow WHERE valid UNION SELECT u, v FROM taps_slow WHERE valid
UNION SELECT u, v FROM payments_slow WHERE valid;
CREATE TEMP TABLE user_codes AS
SELECT u, coalesce(usual_user(u), -row_number() OVER ()) AS user_code
FROM (SELECT DISTINCT u FROM slow_rows);
CREATE TEMP TABLE prop_codes AS
SELECT v, coalesce(enum_code(TRY_CAST(v AS prop)), 32768 + row_number() OVER ()) AS prop_code
FROM (SELECT DISTINCT v FROM slow_rows);
CREATE MACRO key_of(u, v) AS u * 65536 + v;
CREATE MACRO rest_of(rows) AS TABLE
SELECT *, key_of(user_code, prop_code) AS uv FROM query_table(rows)
JOIN user_codes USING (u) JOIN prop_codes USING (v) WHERE valid AND t < getvariable('as_of');
CREATE TEMP TABLE prints_rest AS FROM rest_of(prints_slow);
CREATE TEMP TABLE taps_rest AS FROM rest_of(taps_slow);
CREATE TEMP TABLE payments_rest AS FROM rest_of(payments_slow);
CREATE MACRO bare(j) AS substr(CAST(j AS VARCHAR), 2, length(CAST(j AS VARCHAR)) - 2);
CREATE TEMP VIEW prints AS
SELECT rowid AS n, key_of(u, enum_code(v)) AS uv, CAST(d AS TIMESTAMP) AS t,
    CAST(u AS VARCHAR) AS u, bare(v) AS v, CAST(enum_code(p) AS BIGINT) AS p, 0 AS soft
FROM prints_fast WHERE d IS NOT NULL
UNION ALL SELECT n, uv, t, u, v, p, soft FROM prints_rest;
CREATE TEMP VIEW taps AS
SELECT rowid AS n, key_of(u, enum_code(v)) AS uv, CAST(d AS TIMESTAMP) AS t,
    CAST(u AS VARCHAR) AS u, bare(v) AS v, CAST(enum_code(p) AS BIGINT) AS p, 0 AS soft
FROM taps_fast WHERE d IS NOT NULL
UNION ALL SELECT n, uv, t, u, v, p, soft FROM taps_rest;
CREATE TEMP VIEW payments AS
SELECT rowid AS n, key_of(u, enum_code(v)) AS uv, CAST(d AS TIMESTAMP) AS t,
    CAST(u AS VARCHAR) AS u, CAST(v AS VARCHAR) AS v, amount, 0 AS soft
FROM payments_fast WHERE d IS NOT NULL
UNION ALL SELECT n, uv, t, u, v, amount, soft FROM payments_rest;

-- step: find duplicates
CREATE MACRO later_copies(rows) AS TABLE
SELECT n FROM (
    SELECT n, row_number() OVER (PARTITION BY uv, t, p ORDER BY n) AS copy
    FROM query_table(rows) AS r
    SEMI JOIN (SELECT uv, t, p FROM query_table(rows) GROUP BY ALL HAVING count(*) > 1) AS twice
    ON r.uv = twice.uv AND r.t = twice.t AND r.p IS NOT DISTINCT FROM twice.p)
WHERE copy > 1;
CREATE TEMP TABLE prints_copies AS FROM later_copies(prints);
CREATE TEMP TABLE taps_copies AS FROM later_copies(taps);

-- step: write silver
CREATE MACRO silver(rows, copies, file) AS TABLE
SELECT CAST(t AS TIMESTAMPTZ) AS "timestamp", u AS user_id, v AS value_prop_id, p AS "position",
    CAST(getvariable('as_of') AS TIMESTAMPTZ) AS processed_at, file AS source_file,
    n AS row_number, false AS duplicate_flag, CAST(1 - 0.25 * soft AS DOUBLE) AS data_quality_score
FROM query_table(rows) ANTI JOIN query_table(copies) USING (n);
COPY (FROM silver(prints, prints_copies, 'prints.json')) TO '$OUT/prints.parquet'
(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 4000);
COPY (FROM silver(taps, taps_copies, 'taps.json')) TO '$OUT/taps.parquet'
(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 4000);
COPY (
    SELECT CAST(t AS TIMESTAMPTZ) AS "timestamp", u AS user_id, v AS value_prop_id,
        CAST(amount AS DOUBLE) AS amount, CAST(getvariable('as_of') AS TIMESTAMPTZ) AS processed_at,
        'pays.csv' AS source_file, n AS row_number, false AS duplicate_flag,
        CAST(1 - 0.25 * soft AS DOUBLE) AS data_quality_score
    FROM payments
) TO '$OUT/payments.parquet'
(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 4000);

-- step: build and write gold
SET VARIABLE last_day = (SELECT CAST(max(t) AS DATE) FROM prints);
CREATE TEMP TABLE target AS
SELECT t, CAST(t AS DATE) AS d, u, v, uv FROM prints ANTI JOIN prints_copies USING (n)
WHERE t >= getvariable('last_day') - 6;
CREATE TEMP TABLE keys AS
SELECT row_number() OVER () AS k, uv, d FROM (SELECT DISTINCT uv, d FROM target);
COPY (
    WITH p AS (
        SELECT k, count(*) AS prints FROM (
            SELECT uv, CAST(t AS DATE) AS d FROM prints ANTI JOIN prints_copies USING (n)) e
        JOIN keys ON e.uv = keys.uv AND e.d BETWEEN keys.d - 21 AND keys.d - 1 GROUP BY k),
    c AS (
        SELECT k, count_if(e.d < keys.d) AS taps, bool_or(e.d = keys.d) AS clicked FROM (
            SELECT uv, CAST(t AS DATE) AS d FROM taps ANTI JOIN taps_copies USING (n)) e
        JOIN keys ON e.uv = keys.uv AND e.d BETWEEN keys.d - 21 AND keys.d GROUP BY k),
    m AS (
        SELECT k, count(*) AS payments, sum(amount) AS amount FROM (
            SELECT uv, CAST(t AS DATE) AS d, amount FROM payments) e
        JOIN keys ON e.uv = keys.uv AND e.d BETWEEN keys.d - 21 AND keys.d - 1 GROUP BY k)
    SELECT CAST(t AS TIMESTAMPTZ) AS "timestamp", u AS user_id, v AS value_prop_id,
        coalesce(clicked, false) AS clicked, coalesce(prints, 0) AS prints_count_3w,
        coalesce(CAST(taps AS BIGINT), 0) AS taps_count_3w, coalesce(payments, 0) AS payments_count_3w,
        coalesce(CAST(amount AS DOUBLE), 0) AS payments_amount_3w
    FROM target JOIN keys USING (uv, d) LEFT JOIN p USING (k) LEFT JOIN c USING (k)
    LEFT JOIN m USING (k)
) TO '$OUT/gold.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

-- step: count rows
SELECT (SELECT count(*) FILTER (d IS NULL) FROM prints_fast)
        - (SELECT count(*) FILTER (valid) FROM prints_slow) AS prints_rejected,
    (SELECT count(*) FILTER (d IS NULL) FROM taps_fast)
        - (SELECT count(*) FILTER (valid) FROM taps_slow) AS taps_rejected,
    (SELECT count(*) FILTER (d IS NULL) FROM payments_fast)
        - (SELECT count(*) FILTER (valid) FROM payments_slow) AS payments_rejected,
    (SELECT count(*) FROM prints_copies) AS prints_duplicates,
    (SELECT count(*) FROM taps_copies) AS taps_duplicates;
