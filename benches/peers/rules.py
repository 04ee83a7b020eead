"""The row rules in plain Python, for the rows that are not of the usual form.

Each function takes a line and gives (time, user, value prop, position or cents, soft issues), or
None for a row that is rejected. The bounds of time are left to the caller.
"""

import datetime as dt
import decimal
import json
import re

OLDEST_DAYS = 1825
MAX_CENTS = 1_000_000_00
# Unicode White_Space; str.strip() alone would take U+001C to U+001F too.
WHITE = "".join(map(chr, (9, 10, 11, 12, 13, 32, 133, 160, 5760, *range(8192, 8203), 8232, 8233)))
WHITE += "".join(map(chr, (8239, 8287, 12288)))
INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?)?"
)
AMOUNT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|((?!")[^,]*))(?:,|$)')


class Integer(str):
    """A JSON integer as it was written."""


def instant(text: str) -> tuple[dt.datetime, bool] | None:
    """The time in UTC, and whether the text was coerced."""
    match = INSTANT.fullmatch(text.strip(WHITE))
    if match is None:
        return None
    day, clock, fraction, sign, hours, minutes = match.groups()
    offset = dt.timedelta(0)
    if sign is not None:
        if int(hours) > 23 or int(minutes) > 59:
            return None
        offset = dt.timedelta(hours=int(hours), minutes=int(minutes)) * int(sign + "1")
    try:
        time = dt.datetime.fromisoformat(f"{day}T{clock or '00:00:00'}")
        time += dt.timedelta(microseconds=int(((fraction or "0") + "00000")[:6]))
        time -= offset
    except (ValueError, OverflowError):
        return None
    return time, text != text.strip(WHITE) or bool(offset)


def name(text: str) -> str | None:
    text = text.strip(WHITE)
    text.encode()  # a lone surrogate is no text
    return text if 1 <= len(text) <= 100 else None


def no_constant(text: str) -> None:
    raise ValueError(text)


def unique(pairs: list) -> dict:
    """Refuses a key of ours that comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        for key in ("day", "user_id", "event_data", "position", "value_prop"):
            if keys.count(key) > 1:
                raise ValueError(key)
    return found


DECODER = json.JSONDecoder(
    object_pairs_hook=unique, parse_int=Integer, parse_float=float, parse_constant=no_constant
)


def event(line: str) -> tuple | None:
    try:
        row = DECODER.decode(line.strip(" \t\r"))
        if not isinstance(row, dict) or type(row.get("day")) is not str:
            return None
        when = instant(row["day"])
        user, data = row.get("user_id"), row.get("event_data")
        if when is None or not isinstance(user, str) or not isinstance(data, dict):
            return None
        prop, position = data.get("value_prop"), data.get("position")
        if type(prop) is not str or not (position is None or isinstance(position, Integer)):
            return None
        user_name, prop_name = name(user), name(prop)
    except (ValueError, RecursionError):
        return None
    if position is not None:
        position = int(position)
        if not 0 <= position < 2**63:
            return None
    if user_name is None or prop_name is None:
        return None
    trimmed = user_name != user or prop_name != prop
    return when[0], user_name, prop_name, position, when[1] + trimmed + (position is None)


def payment(line: str) -> tuple | None:
    line = line.removesuffix("\r")
    fields, at = [], 0
    while at <= len(line):
        match = FIELD.match(line, at)
        if match is None or len(fields) == 4:
            return None
        quoted, plain = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end() + (not match.group().endswith(","))
    if len(fields) != 4:
        return None
    when, user_name, prop_name = instant(fields[0]), name(fields[2]), name(fields[3])
    amount = fields[1].strip(WHITE)
    if None in (when, user_name, prop_name) or AMOUNT.fullmatch(amount) is None:
        return None
    exact = decimal.Decimal(amount)
    exact = exact.scaleb(2, decimal.Context(prec=len(amount) + 2))
    if exact > MAX_CENTS:
        return None
    cents = int(exact.to_integral_value(decimal.ROUND_HALF_EVEN))
    if cents <= 0:
        return None
    trimmed = user_name != fields[2] or prop_name != fields[3]
    return when[0], user_name, prop_name, cents, when[1] + trimmed + (cents != exact)
