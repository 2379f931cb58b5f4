"""Fills an empty database: `python3 -m app.seed [--rows small|full|large] [--today 2026-01-31]`.

The same size and day give the same rows, on SQLite and on PostgreSQL alike. All is written in one
transaction, so that the database is either empty or whole.
"""

import argparse
import csv
import hashlib
import io
import itertools
import json
import random
import time
from datetime import date, timedelta
from typing import Callable, Dict, Iterator, List

from sqlalchemy import func, select

from . import models
from .database import Base, create_tables, engine, is_sqlite
from .security import hash_password

# Rows per table; "full" is 650,000 in all.
SIZES: Dict[str, Dict[str, int]] = {
    "full": {
        "users": 20_000,
        "login_sessions": 30_000,
        "locations": 24,
        "staff": 144,
        "services": 12,
        "bookings": 250_000,
        "tasks": 100_000,
        "notes": 40_000,
        "habits": 10_000,
        "habit_entries": 120_000,
        "events": 3_000,
        "registrations": 45_000,
        "posts": 1_500,
        "comments": 30_000,
    }
}
FEW = {"locations", "staff", "services"}


def scaled(factor: float) -> Dict[str, int]:
    return {t: n if t in FEW else int(n * factor) for t, n in SIZES["full"].items()}


SIZES["small"] = scaled(0.01)
SIZES["large"] = scaled(5)

PASSWORD = "password"  # of every seeded account

FIRST = "Ada Alan Barbara Chinua Dorothy Edsger Frances Grace Hedy Ines Joan Katherine".split()
LAST = "Adams Baker Carter Diaz Evans Fischer Garcia Hansen Ito Jensen Kim Lopez Moreau".split()
CITIES = "Amsterdam Berlin Copenhagen Dublin Edinburgh Florence Geneva Hamburg".split()
STREETS = "High Street,Mill Lane,Station Road,Church Street,Park Avenue,Bridge Street".split(",")
SERVICES = "Haircut,Beard trim,Colour,Massage,Manicure,Consultation".split(",")
TITLES = "Junior,Stylist,Senior stylist,Therapist,Manager,Apprentice".split(",")
VERBS = "Call,Order,Clean,Plan,Review,Send,Prepare,Check".split(",")
THINGS = "the supplier,new towels,the rota,the invoice,the window,gift cards,the till".split(",")
HABITS = "Read,Run,Stretch,Write,Drink water,Walk,Meditate".split(",")
TAGS = "idea,client,stock,training,personal,urgent,later".split(",")
KINDS = "Open evening,Workshop,Tasting,Lecture,Course,Fair".split(",")
SENTENCES = [
    "The best appointment is the one that begins on time.",
    "We moved the chairs by the window, and everyone likes the light.",
    "A short walk before work does more than a long meeting after it.",
    "Ask first, then cut; hair grows slowly.",
    "Our new room is open on Saturdays from ten.",
    "Most people book on Sunday evening, from the sofa.",
    "Good tools last for years if they are cleaned every day.",
    "Bring a friend and both of you have a tenth off.",
]


class Seeder:
    """Yields the rows of each table, in the order of its columns, without the id."""

    def __init__(self, size: Dict[str, int], today: date):
        self.size = size
        self.random = random.Random(2026)
        # Days from two years ago to 120 days ahead, as text: index 730 is today.
        self.days = [str(today + timedelta(days=n)) for n in range(-730, 121)]
        salt = self.random.getrandbits(128).to_bytes(16, "big")
        self.password_hash = hash_password(PASSWORD, salt)
        self.prices = [2500 + 750 * n for n in range(size["services"])]

    def below(self, limit: int) -> int:
        return int(self.random.random() * limit)

    def pick(self, values: list):
        return values[int(self.random.random() * len(values))]

    def user_id(self) -> int:
        """A few users come often, most seldom."""
        return 1 + int(self.size["users"] * self.random.random() ** 2)

    def name(self) -> str:
        return f"{self.pick(FIRST)} {self.pick(LAST)}"

    def sentences(self, count: int) -> str:
        return " ".join(self.pick(SENTENCES) for _ in range(count))

    def past(self) -> str:
        """A moment of the last two years."""
        hour, minute = self.below(24), self.below(60)
        return f"{self.days[self.below(730)]} {hour:02d}:{minute:02d}:00.000000"

    def users(self) -> Iterator[tuple]:
        for n in range(1, self.size["users"] + 1):
            role = "admin" if n == 1 else "staff" if n <= 20 else "client"
            yield f"user{n}@example.com", self.name(), role, self.password_hash, self.past()

    def login_sessions(self) -> Iterator[tuple]:
        # Old sessions that nobody ever removed.
        for n in range(self.size["login_sessions"]):
            day = self.below(600)
            token_hash = hashlib.sha256(b"%d" % n).hexdigest()
            begin, end = (f"{self.days[d]} 08:00:00.000000" for d in (day, day + 30))
            yield self.user_id(), token_hash, begin, end

    def locations(self) -> Iterator[tuple]:
        for n in range(self.size["locations"]):
            city = CITIES[n % len(CITIES)]
            name = f"{city} {STREETS[n % len(STREETS)].split()[0]} {n + 1}"
            address = f"{1 + self.below(90)} {STREETS[n % len(STREETS)]}"
            yield name, city, address, self.sentences(4), 8 + n % 3, 17 + n % 4

    def staff(self) -> Iterator[tuple]:
        for n in range(self.size["staff"]):
            yield 1 + n % self.size["locations"], self.name(), self.pick(TITLES)

    def services(self) -> Iterator[tuple]:
        for n, price in enumerate(self.prices):
            name = SERVICES[n % len(SERVICES)] + (", long" if n >= len(SERVICES) else "")
            yield name, 30 if n < len(SERVICES) else 60, price

    def bookings(self) -> Iterator[tuple]:
        for _ in range(self.size["bookings"]):
            staff = self.below(self.size["staff"])
            service = self.below(self.size["services"])
            day = self.below(760)
            made = self.days[max(0, day - self.below(20))]
            luck = self.random.random()
            if day >= 730:
                status = "booked" if luck < 0.95 else "cancelled"
            else:
                status = "done" if luck < 0.82 else "cancelled" if luck < 0.92 else "no_show"
            yield (
                1 + staff % self.size["locations"],
                staff + 1,
                service + 1,
                self.user_id(),
                f"{self.days[day]} {10 + self.below(7):02d}:00:00.000000",
                status,
                self.prices[service],
                self.pick(SENTENCES) if luck < 0.3 else "",
                f"{made} 09:00:00.000000",
            )

    def tasks(self) -> Iterator[tuple]:
        for n in range(self.size["tasks"]):
            day = self.below(720)
            done = self.random.random() < 0.7
            yield (
                self.user_id(),
                f"{self.pick(VERBS)} {self.pick(THINGS)} ({n + 1})",
                "done" if done else self.pick(["open", "doing"]),
                1 + self.below(4),
                self.days[day + 21],
                f"{self.days[day]} 09:00:00.000000",
                f"{self.days[day + self.below(10)]} 16:00:00.000000" if done else None,
            )

    def notes(self) -> Iterator[tuple]:
        for n in range(self.size["notes"]):
            tags = json.dumps([self.pick(TAGS), f"list{self.below(50)}"])
            yield self.user_id(), f"Note {n + 1}", self.sentences(3), tags, self.past()

    def habits(self) -> Iterator[tuple]:
        for _ in range(self.size["habits"]):
            yield self.user_id(), self.pick(HABITS), f"{self.days[600]} 09:00:00.000000"

    def habit_entries(self) -> Iterator[tuple]:
        per_habit = self.size["habit_entries"] // self.size["habits"]
        for n in range(self.size["habit_entries"]):
            day = self.days[730 - n % per_habit]
            yield 1 + n // per_habit, day, int(self.random.random() < 0.8)

    def events(self) -> Iterator[tuple]:
        for n in range(self.size["events"]):
            day = self.days[self.below(850)]
            title = f"{self.pick(KINDS)} {n + 1}"
            place = 1 + self.below(self.size["locations"])
            yield place, title, self.sentences(5), f"{day} 18:00:00.000000", 15 + self.below(30)

    def registrations(self) -> Iterator[tuple]:
        for n in range(self.size["registrations"]):
            yield 1 + n % self.size["events"], self.user_id(), self.past()

    def posts(self) -> Iterator[tuple]:
        for n in range(1, self.size["posts"] + 1):
            title = f"{self.pick(VERBS)} {self.pick(THINGS)}, part {n}"
            slug = title.lower().replace(",", "").replace(" ", "-")
            body = "\n\n".join(self.sentences(8) for _ in range(8))
            yield 1 + self.below(20), slug, title, body, self.past()

    def comments(self) -> Iterator[tuple]:
        for _ in range(self.size["comments"]):
            post = 1 + self.below(self.size["posts"])
            yield post, self.user_id(), self.sentences(2), self.past()


def write_sqlite(cursor, table: str, columns: List[str], rows: Iterator[tuple]) -> None:
    marks = ", ".join("?" * len(columns))
    cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def write_postgresql(cursor, table: str, columns: List[str], rows: Iterator[tuple]) -> None:
    command = f"COPY {table} ({', '.join(columns)}) FROM STDIN WITH (FORMAT csv, NULL '\\N')"
    while batch := list(itertools.islice(rows, 20_000)):
        buffer = io.StringIO()
        # The csv module writes None and "" alike, COPY tells NULL from an empty text.
        csv.writer(buffer).writerows([r"\N" if v is None else v for v in row] for row in batch)
        buffer.seek(0)
        cursor.copy_expert(command, buffer)


def fill(size: Dict[str, int], today: date, report: Callable[[str], None]) -> None:
    seeder = Seeder(size, today)
    write = write_sqlite if is_sqlite else write_postgresql
    with engine.begin() as connection:
        lock = "BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"
        connection.exec_driver_sql(lock)
        if connection.execute(select(func.count()).select_from(models.User)).scalar():
            report("the database is not empty, nothing done")
            return
        begin = time.monotonic()
        cursor = connection.connection.cursor()
        for table in Base.metadata.sorted_tables:
            columns = [column.name for column in table.columns if column.name != "id"]
            write(cursor, table.name, columns, getattr(seeder, table.name)())
        total = sum(size.values())
    if not is_sqlite:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    report(f"{total:,} rows written in {time.monotonic() - begin:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="app.seed", description="Fills an empty database.")
    parser.add_argument("--rows", choices=sorted(SIZES), default="full")
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        default=date.today(),
        help="the day around which the data lies (default: today)",
    )
    arguments = parser.parse_args()
    create_tables()
    fill(SIZES[arguments.rows], arguments.today, lambda line: print(f"seed: {line}"))


if __name__ == "__main__":
    main()
