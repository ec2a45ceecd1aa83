"""Dates as people write them, and as ISO 8601 does: a task that needs no download.

`pairs(seed)` draws written dates from 1950 to 2049 in the `FORMATS` below, in mixed case, with weekdays,
ordinals, abbreviations, two-digit years and small misspellings: ("may 5th, 2018", "2018-05-05"). In
numeric dates the separator tells the order: 5.4.18, 4/5/18 and 18-04-05 are all the 5th of April.
"""

import datetime
import random
from collections.abc import Iterator

MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
FIRST_DAY, LAST_DAY = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)

# {d} day, {dd} of two digits, {dth} ordinal; {m} month, {mm} of two digits, {month}, {mon} abbreviated;
# {y} year, {yy} its last two digits (50 to 99 are 19xx); {weekday}, {wd} abbreviated.
FORMATS = (
    "{weekday} {d} {month} {y}",
    "{weekday}, {d} {month} {y}",
    "{weekday}, {month} {d}, {y}",
    "{weekday} the {dth} of {month} {y}",
    "{weekday}, the {dth} of {month}, {y}",
    "{wd} {d} {mon} {y}",
    "{wd}, {dd} {mon} {y}",
    "{wd}, {mon} {dth} '{yy}",
    "{d} {month} {y}",
    "{dd} {month} {y}",
    "{dth} {month} {y}",
    "{dth} of {month} {y}",
    "the {dth} of {month}, {y}",
    "{month} {d}, {y}",
    "{month} {dth}, {y}",
    "{month} {dth} {y}",
    "{month} the {dth}, {y}",
    "{d} {mon} {y}",
    "{d} {mon}. {y}",
    "{dth} {mon} {yy}",
    "{mon} {d}, {y}",
    "{mon}. {dth}, {y}",
    "{mon} {d} '{yy}",
    "{d}-{mon}-{yy}",
    "{dd}-{mon}-{y}",
    "{dd}{mon}{y}",
    "{y} {month} {d}",
    "{y}, {mon} {d}",
    "{d}.{m}.{y}",
    "{d}.{m}.{yy}",
    "{dd}.{mm}.{y}",
    "{dd}.{mm}.{yy}",
    "{m}/{d}/{y}",
    "{m}/{d}/{yy}",
    "{mm}/{dd}/{y}",
    "{y}/{mm}/{dd}",
    "{y}-{m}-{d}",
    "{yy}-{mm}-{dd}",
    "{y}{mm}{dd}",
    "day {d} of month {m} of {y}",
)


def pairs(seed: int) -> Iterator[tuple[str, str]]:
    """Endless (written, standard) dates, the same for the same seed."""
    generator = random.Random(seed)
    days = (LAST_DAY - FIRST_DAY).days + 1
    while True:
        date = FIRST_DAY + datetime.timedelta(generator.randrange(days))
        yield written(date, generator), date.isoformat()


def split(seed: int, train_size: int, test_size: int) -> tuple[list, list]:
    """Distinct pairs to train and to test on. No test date, in any form, is in the training pairs."""
    generator = random.Random(seed)
    held_out = set(generator.sample(range((LAST_DAY - FIRST_DAY).days + 1), 2 * test_size))
    train, test = {}, {}
    dates = pairs(seed)
    while len(train) < train_size or len(test) < test_size:
        source, target = next(dates)
        day = (datetime.date.fromisoformat(target) - FIRST_DAY).days
        part, size = (test, test_size) if day in held_out else (train, train_size)
        if len(part) < size:
            part[source] = target
    return list(train.items()), list(test.items())


def written(date: datetime.date, generator: random.Random) -> str:
    """One of the ways to write a date."""
    month, weekday = MONTHS[date.month - 1], WEEKDAYS[date.weekday()]
    if generator.random() < 0.1:
        month = misspelt(month, generator)
    if generator.random() < 0.1:
        weekday = misspelt(weekday, generator)
    text = generator.choice(FORMATS).format(
        d=date.day,
        dd=f"{date.day:02}",
        dth=ordinal(date.day),
        m=date.month,
        mm=f"{date.month:02}",
        month=month,
        mon=MONTHS[date.month - 1][:3],
        y=date.year,
        yy=f"{date.year % 100:02}",
        weekday=weekday,
        wd=WEEKDAYS[date.weekday()][:3],
    )
    return generator.choice((str, str, str.lower, str.upper))(text)


def ordinal(day: int) -> str:
    """1 -> "1st", 12 -> "12th", 23 -> "23rd"."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{'th' if 11 <= day <= 13 else suffix}"


def misspelt(word: str, generator: random.Random) -> str:
    """A long word with one letter dropped, doubled or swapped with the next; the first two letters stay."""
    if len(word) < 6:
        return word
    i = generator.randrange(2, len(word) - 1)
    return generator.choice(
        (
            word[:i] + word[i + 1 :],
            word[:i] + word[i] + word[i:],
            word[:i] + word[i + 1] + word[i] + word[i + 2 :],
        )
    )
