# shellcheck shell=bash
# How the parts of tests/container say what held: sourced. A check that fails lets the others go on.

failures=0

# same WHAT FOUND EXPECTED
same() {
    if [ "$2" = "$3" ]; then
        printf 'ok      %s\n' "$1"
    else
        printf 'FAILED  %s\n    found     %s\n    expected  %s\n' "$1" "$2" "$3" >&2
        failures=$((failures + 1))
    fi
}

# below WHAT NUMBER LIMIT
below() {
    if [ "$2" -lt "$3" ] 2>/dev/null; then
        printf 'ok      %s: %s, below %s\n' "$1" "$2" "$3"
    else
        printf 'FAILED  %s: %s is not a number below %s\n' "$1" "$2" "$3" >&2
        failures=$((failures + 1))
    fi
}

# The last line of a part.
judge() {
    [ $failures = 0 ] || fail "$failures of the checks above failed"
}
