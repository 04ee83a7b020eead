"""Raw files to measure with: those of `mp synth`, and the hard cases made of them.

Every set is made once and kept, with a file `complete` beside it.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import measure

SOURCES = ("prints.json", "taps.json", "pays.csv")
USER = b'"user_id": '
PROP = b'"value_prop": "'
LAST_DAY = "2020-11-30"
DAY_BEFORE = "2020-11-29"


class Inputs:
    def __init__(self, mp: str, folder: Path) -> None:
        self.mp, self.folder = mp, folder

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        folder = self.folder / name
        done = self.folder / f"{name}.complete"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            done.touch()
        measure.warm(folder)
        return folder

    def plain(self, prints: int, *options: str) -> Path:
        """`mp synth`: one tenth as many taps, one and a half times as many payments."""
        name = "-".join([f"plain-{prints}", *(option.strip("-") for option in options)])
        synth = [self.mp, "synth", "--prints", prints, *options]
        return self._once(name, lambda folder: measure.run([*synth, folder]))

    def _rewritten(
        self, name: str, prints: int, change: Callable[[int, bytes, bool], bytes]
    ) -> Path:
        def make(folder: Path) -> None:
            source = self.plain(prints)
            for file in SOURCES:
                is_csv = file.endswith(".csv")
                with (source / file).open("rb") as old, (folder / file).open("wb") as new:
                    if is_csv:
                        new.write(old.readline())
                    new.writelines(change(i, line, is_csv) for i, line in enumerate(old))

        return self._once(f"{name}-{prints}", make)

    def one_user(self, prints: int) -> Path:
        """Every tenth row belongs to user 7."""

        def change(i: int, line: bytes, is_csv: bool) -> bytes:
            if i % 10:
                return line
            if is_csv:
                fields = line.split(b",")
                return b",".join([*fields[:2], b"7", *fields[3:]])
            head, user, _ = line.rpartition(USER)
            return head + user + b"7}\n" if user else line

        return self._rewritten("one-user", prints, change)

    def many_props(self, prints: int) -> Path:
        """3,000 value props: each of the usual ones in 430 kinds, by the user's digits."""

        def change(_: int, line: bytes, is_csv: bool) -> bytes:
            if is_csv:
                user = line.split(b",")[2]
                end = line.rstrip(b"\n")
                return end + b"_%d\n" % (sum(user) * 31 % 430) if end[-1:].isalpha() else line
            at = line.find(PROP)
            close = line.find(b'"', at + len(PROP))
            if at < 0 or close < 0 or not line[close - 1 : close].isalpha():
                return line
            kind = sum(line.rpartition(USER)[2].rstrip(b"}\n")) * 31 % 430
            return line[:close] + b"_%d" % kind + line[close:]

        return self._rewritten("many-props", prints, change)

    def distinct_users(self, rows: int) -> Path:
        """One print for each user, nothing else."""

        def make(folder: Path) -> None:
            source = self.plain(rows, "--taps", "0", "--payments", "0")
            for file in SOURCES[1:]:
                shutil.copy(source / file, folder)
            with (source / SOURCES[0]).open("rb") as old, (folder / SOURCES[0]).open("wb") as new:
                for i, line in enumerate(old):
                    head, user, _ = line.rpartition(USER)
                    new.write(
                        head + user + b"%d}\n" % (i * 7919 % 10_000_000_019) if user else line
                    )

        return self._once(f"distinct-users-{rows}", make)

    def split(self, prints: int, files: int) -> Path:
        """The plain rows in many files: of 10, 6 are prints, 1 is taps, 3 are payments."""
        shares = {
            "prints.json": files * 6 // 10,
            "taps.json": files // 10,
            "pays.csv": files * 3 // 10,
        }

        def make(folder: Path) -> None:
            source = self.plain(prints)
            for file, count in shares.items():
                size = (source / file).stat().st_size
                stem, _, suffix = file.partition(".")
                with (source / file).open("rb") as old:
                    header = old.readline() if suffix == "csv" else b""
                    for i in range(count):
                        with (folder / f"{stem}-{i:04}.{suffix}").open("wb") as new:
                            new.write(header)
                            while old.tell() < size * (i + 1) // count:
                                new.writelines(
                                    old.readlines(1 << 20) if count < 9 else [old.readline()]
                                )

        return self._once(f"split-{files}-{prints}", make)

    def daily(self, prints: int) -> Path:
        """One file for each source and day; a row with no good day stays with its neighbours."""

        def days(lines: Iterator[bytes], is_csv: bool) -> Iterator[tuple[bytes, bytes]]:
            today = b"2020-11-01"
            for line in lines:
                at = 0 if is_csv else line.find(b'"day": "') + 8
                day = line[at : at + 10]
                if (
                    day.startswith(b"2020-11-")
                    and day[8:].isdigit()
                    and today < day <= b"2020-11-30"
                ):
                    today = day
                yield today, line

        def make(folder: Path) -> None:
            source = self.plain(prints)
            for file in SOURCES:
                stem, _, suffix = file.partition(".")
                with (source / file).open("rb") as old:
                    header = old.readline() if suffix == "csv" else b""
                    new, day = None, b""
                    for today, line in days(old, suffix == "csv"):
                        if today != day:
                            if new is not None:
                                new.close()
                            new = (folder / f"{stem}-{today.decode()}.{suffix}").open("wb")
                            new.write(header)
                            day = today
                        new.write(line)
                    new.close()

        return self._once(f"daily-{prints}", make)
