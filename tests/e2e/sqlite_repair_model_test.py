#!/usr/bin/env python3
"""
Repair against a model, on SQLite: values of every storage class in columns of every affinity, a random mistake, random good
writes after it.

The three states are moments of one volume, which this process has inside; what is there is read with each value's type and
bytes, and what has to be there after the repair is computed from that by the three-way rule alone.  Every other table is
repaired by `unspill repair`, half of the time while the database is open here; the others by the library behind it, in small ranges and
batches.
"""
import os
import random
import re
import sqlite3
import struct
import subprocess
import time
import zlib

from harness import LONG, TOP, Failed, Skip, check, find_binary, iso, main, note, now_us, sandbox, unspill
from repair_model_test import DRIVER, expect

BUILD = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(find_binary(TOP)))))
EXTENSION = os.path.join(BUILD, "src", "vfs", "unspill")
TABLE = "ta`b'le \"\u00fc\"\nx"
TEXTS = "aAbBzZ'\"\\\n\0 %_\u00e4\u00c4\u00df\U0001f600?$1{}"


def name(text):
    return '"' + text.replace('"', '""') + '"'


WHERE = name(TABLE)


def path(moment=""):
    return os.path.join(sandbox("home"), "shop", "shop.db") + moment


def connect():
    db = sqlite3.connect(f"file:{path()}?vfs=unspill", uri=True, isolation_level=None, timeout=20)
    db.text_factory = bytes
    db.create_function("chosen", 2, lambda value, salt: zlib.crc32(repr((value, salt)).encode()) % 5 == 0, deterministic=True)
    db.execute("PRAGMA foreign_keys = 1")
    return db


def a_volume_inside_of_this_process():
    unspill().run("create", "shop", "--engine", "sqlite")
    loader = sqlite3.connect(":memory:")
    try:
        loader.enable_load_extension(True)
        loader.load_extension(EXTENSION)
    except (AttributeError, sqlite3.OperationalError) as error:
        raise Skip(f"Python's sqlite3 does not load extensions: {error}") from error
    connect().close()


def now():
    """A moment of its own."""
    time.sleep(0.002)
    at = iso(now_us())
    time.sleep(0.002)
    return at


# --- Values: all kinds of them, for any column ---

def integer(r):
    return r.choice((0, 1, -1, 2**63 - 1, -2**63, 2**53 + 1, r.randint(-2**63, 2**63 - 1), r.randint(-300, 300)))


def real(r):
    return r.choice((0.0, -0.0, 1.0, 0.1, 1 / 3, float("inf"), float("-inf"), 5e-324, -2.2250738585072011e-308, 1.7976931348623157e308,
                     2.0**63, -2.0**63, 9007199254740993.0, 1e15, r.uniform(-1e9, 1e9), r.random() * 10.0**r.randint(-300, 300)))


def text(r):
    return r.choice(("", "1", "1.0", "-0.0", " 7", "1e3", "0x10", "9223372036854775808", "NULL", "x'00'",
                     "".join(r.choice(TEXTS) for _ in range(r.randint(0, 30)))))


def blob(r):
    return r.choice((b"", b"\0", b"\0\0x", b"1", bytes(r.randrange(256) for _ in range(r.randint(0, 40))), r.randbytes(r.randint(0, 9000))))


def anything(r):
    return r.choice((integer, real, text, blob, lambda r: None))(r)


def nullable(make):
    return lambda r: None if r.random() < 0.2 else make(r)


AFFINITIES = [
    "", "INTEGER", "INT", "TEXT", "BLOB", "REAL", "NUMERIC", "DECIMAL(10,5)", "BOOLEAN", "DATETIME", "VARCHAR(10) COLLATE NOCASE",
    "TEXT COLLATE RTRIM", "CHARINT", "FLOATING POINT", "DOUBLE DEFAULT 1.5", "\"it's \"\"odd\"\"\"", "JSON",
    "INTEGER NOT NULL ON CONFLICT REPLACE DEFAULT 7", "TEXT CHECK (typeof(1) = 'integer')",
]
STRICT = [
    ("INTEGER", nullable(integer)), ("INT", nullable(integer)), ("REAL", nullable(real)), ("BLOB", nullable(blob)),
    ("TEXT COLLATE NOCASE", nullable(text)), ("TEXT", nullable(text)), ("ANY", anything),
]


def word(r, n):
    return r.choice((f"k''\n{n}\u00e4", f"Key {n}", f"\0{n}"))


# (columns: (definition, a function of the row's number), what follows them, options of the table, what the key folds)
KEYS = [
    ([("INTEGER PRIMARY KEY", lambda r, n: n)], "", "", None),
    ([("INTEGER PRIMARY KEY AUTOINCREMENT", lambda r, n: n * 10**15)], "", "", None),
    ([("INTEGER NOT NULL PRIMARY KEY DESC", lambda r, n: -n)], "", "", None),
    ([("TEXT NOT NULL PRIMARY KEY", word)], "", "", None),
    ([("TEXT NOT NULL PRIMARY KEY COLLATE NOCASE", lambda r, n: f"Key {n}")], "", "", "case"),
    ([("TEXT PRIMARY KEY COLLATE NOCASE", lambda r, n: f"Key {n}")], "", "WITHOUT ROWID", "case"),
    ([("TEXT NOT NULL COLLATE RTRIM UNIQUE", lambda r, n: f"{n}")], "", "", "blanks"),
    ([("BLOB", lambda r, n: b"\0" + n.to_bytes(3, "big") + b"\0"), ("INT", lambda r, n: n % 7)], "PRIMARY KEY (k1, k0)", "WITHOUT ROWID", None),
    ([("", lambda r, n: (n, n + 0.5, f"{n}", str(n).encode())[n % 4]), ("", lambda r, n: n % 3)], "PRIMARY KEY (k0, k1)", "WITHOUT ROWID", None),
    ([("REAL NOT NULL", lambda r, n: n / 7), ("NUMERIC NOT NULL", lambda r, n: f"{n % 5}.50")], "PRIMARY KEY (k0, k1 DESC)", "", None),
    ([("ANY NOT NULL", lambda r, n: (-n, n + 0.25, f"{n}", str(n).encode())[n % 4])], "PRIMARY KEY (k0)", "STRICT", None),
    ([("INTEGER PRIMARY KEY", lambda r, n: n - 30)], "", "STRICT", None),
    ([("INTEGER NOT NULL", lambda r, n: n), ("TEXT NOT NULL", lambda r, n: f"{n % 4}")], "PRIMARY KEY (k1, k0)", "STRICT, WITHOUT ROWID", None),
    ([], "", "", "bag"),
    ([], "", "STRICT", "bag"),
    # A unique value that may be NULL is no key, and still keeps a row from another.
    ([], "", "", "unique bag"),
    ([], "", "STRICT", "unique bag"),
]


def folded(how):
    def fold(key):
        kind, value = key[0]
        if kind == "text":
            value = value.upper() if how == "case" else value.rstrip(b" ") if how == "blanks" else value
        return ((kind, value), *key[1:])
    return fold


def unique_or_all(row):
    """Of a row that is its own key: what no other one may have."""
    return row if row[0][0] == "null" else row[0]


class Table:
    """A random table, and statements on it."""

    def __init__(self, r, db, key, anew):
        self.r, self.db, self.next = r, db, 1
        self.key, tail, options, self.how = key
        self.bag = self.how in ("bag", "unique bag")
        self.columns = [(f"k{i}", *column) for i, column in enumerate(self.key)]
        if "STRICT" in options:
            kinds = r.sample(STRICT, 5)
        else:
            kinds = [(kind, anything if "NOT NULL" not in kind else integer) for kind in anew(6)]
        unique = "" if self.how == "bag" else " UNIQUE" + r.choice(("", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE", " ON CONFLICT ROLLBACK"))
        self.others = [("u", "INT" + unique, None),
                       ("anchor", "BLOB", blob)]
        self.others += [(f"c\"{i}'", *kind) for i, kind in enumerate(kinds)]
        lines = [f"{c} {kind}" for c, kind, _ in self.columns] + [f"{name(c)} {kind}" for c, kind, _ in self.others]
        typed = " TEXT" if "STRICT" in options else ""
        lines += [f"stored{typed} AS (hex(anchor) || typeof(u)) STORED", f"virtual{typed} AS (quote({name(self.others[2][0])}))", tail]
        db.executescript(f"DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS {WHERE}; CREATE TABLE {WHERE} ({', '.join(filter(None, lines))}) {options};")
        third = name(self.others[3][0])
        db.execute(f"CREATE {'' if self.how == 'bag' else 'UNIQUE '}INDEX some ON {WHERE} (u) WHERE {third} IS NOT NULL")
        db.execute(f"CREATE INDEX plain ON {WHERE} ({third} COLLATE NOCASE, typeof({name(self.others[2][0])}))")
        for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")):
            db.execute(f"CREATE TRIGGER on_{event} AFTER {event} ON {WHERE} BEGIN INSERT INTO log VALUES ('{event}', {row}.u); END")
        # Cascades, were foreign keys on.
        parent = "" if self.bag else f" REFERENCES {WHERE} (u) ON DELETE CASCADE ON UPDATE CASCADE"
        db.execute(f"CREATE TABLE child (u INT{parent}, v)")

    def described(self):
        return f"({'; '.join(kind for _, kind, _ in self.columns + self.others)})"

    def insert(self):
        n = self.next
        self.next += 1
        unique = None if self.how == "unique bag" and self.r.random() < 0.2 else n
        values = [make(self.r, n) for _, _, make in self.columns] + [unique] + [make(self.r) for _, _, make in self.others[1:]]
        names = [name(c) for c, *_ in self.columns + self.others]
        self.db.execute(f"INSERT INTO {WHERE} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)

    def some(self):
        return f"chosen(u, {self.r.randrange(10**6)})"

    def update(self):
        chosen = self.r.sample(self.others[1:], self.r.randint(1, 4))
        self.db.execute(f"UPDATE {WHERE} SET {', '.join(name(c) + ' = ?' for c, *_ in chosen)} WHERE {self.some()}", [make(self.r) for *_, make in chosen])

    def exchange(self):
        """The unique values among themselves."""
        self.db.execute(f"UPDATE {WHERE} SET u = -u WHERE {self.some()}")

    def rename(self):
        """The key is another text, and for the collation the same."""
        if self.how not in ("case", "blanks"):
            return self.update()
        self.db.execute(f"UPDATE {WHERE} SET k0 = {'upper(k0)' if self.how == 'case' else 'k0 || char(32)'} WHERE {self.some()}")
        return None

    def move(self):
        """Other keys: rows that are gone, and new ones."""
        if self.key and self.key[0][0].startswith("INTEGER PRIMARY KEY") and "AUTO" not in self.key[0][0]:
            by = 100000 * self.r.randint(1, 9000)
            self.db.execute(f"UPDATE {WHERE} SET k0 = k0 + {by}, u = u + {by} WHERE {self.some()}")
        else:
            self.update()

    def delete(self):
        self.db.execute(f"DELETE FROM {WHERE} WHERE {self.some()}")

    def writes(self, count):
        for _ in range(count):
            self.r.choice((self.update, self.update, self.delete, self.insert, self.insert, self.rename, self.exchange, self.move))()

    def read(self):
        """{key: row}, or for a bag {row: copies}; each value as its type and its bytes."""
        names = [c for c, *_ in self.columns + self.others] + ["stored", "virtual"]
        rows = {}
        for row in self.db.execute(f"SELECT {', '.join(f'typeof({name(c)}), {name(c)}' for c in names)} FROM {WHERE}"):
            values = tuple((kind.decode(), struct.pack("<d", value) if kind == b"real" else value) for kind, value in zip(row[::2], row[1::2]))
            if self.bag:
                rows[values] = rows.get(values, 0) + 1
            else:
                rows[values[:len(self.key)]] = values
        return rows


def put_by_driver(states, policy):
    words = ["engine=sqlite", "range=7", "batch=5"] + (["force=1"] if policy == "force" else []) + (["chunked=1"] if random.random() < 0.3 else [])
    done = subprocess.run([DRIVER, *(path("@" + state) if state else path() for state in states), "main", TABLE, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        raise Failed(f"{words}: {done.returncode} {done.stderr}")
    counts = done.stdout[done.stdout.rindex("# "):].split()[1:]
    return dict(zip(counts[::2], map(int, counts[1::2])))


def put(table, states, policy, by):
    """Repair; how many rows it put back, and conflicts."""
    if by != "open":
        table.db.close()
    if by == "driver":
        report = put_by_driver(states, policy)
    else:
        report = unspill().json("repair", "shop", "--table", TABLE, "--to", states[0], *(["--until", states[1]] if states[1] else []), "--on-conflict", policy, "--yes")
    if by != "open":
        table.db = connect()
    return report


def one_random_table(number, key, anew):
    r = random
    db = connect()
    db.execute("CREATE TABLE IF NOT EXISTS log (what, u)")
    table = Table(r, db, key, anew)
    for _ in range(60):
        table.insert()
    db.execute(f"INSERT INTO child SELECT u, 1 FROM {WHERE} WHERE u % 10 = 0")
    before, to = table.read(), now()
    table.writes(r.randint(1, 4))
    after, until = table.read(), now()
    table.writes(r.randint(0, 4))
    db.execute("DELETE FROM child WHERE v = 1")
    is_now = table.read()
    policy, by = r.choice(("skip", "skip", "force")), ("open", "driver", "closed", "driver")[number % 4]
    fold = {"case": folded("case"), "blanks": folded("blanks"), "unique bag": unique_or_all}.get(table.how)
    wanted, conflicts = expect(before, after, is_now, policy, *([fold] if fold else []))
    fired = db.execute("SELECT count(*) FROM log").fetchone()
    described = f"table {number} {table.described()}, {policy}, {by}"
    report = put(table, (to, until, ""), policy, by)
    found = table.read()
    differ = set(found.items()) ^ set(wanted.items())
    check(not differ, f"{described}: {len(differ)} differ, such as {sorted(differ, key=repr)[:4]}; {report}")
    check(report["conflicts"] == conflicts, f"{described}: {report}, {conflicts} conflicts expected")
    check(table.db.execute("SELECT count(*) FROM log").fetchone() == fired, f"{described}: a trigger fired")
    check(table.db.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)], f"{described}: not whole")
    if policy == "force" or not conflicts:
        again = put(table, (to, until, ""), policy, by)
        check(again["inserted"] == again["updated"] == again["deleted"] == 0, f"{described}: again {again}")
    table.db.close()
    return report


def every_row_of_random_tables_is_what_three_way_logic_says():
    kinds, total = [], {}

    def anew(count):
        while len(kinds) < count:
            kinds.extend(random.sample(AFFINITIES, len(AFFINITIES)))
        taken, kinds[:count] = kinds[:count], []
        return taken

    for number in range(160 if LONG else 24):
        # Each key comes each way, in time.
        report = one_random_table(number, KEYS[(number + number // len(KEYS)) % len(KEYS)], anew)
        for what in ("inserted", "updated", "deleted", "conflicts"):
            total[what] = total.get(what, 0) + report[what]
    note(total)
    check(all(total.values()), f"nothing happened: {total}")


def a_reference_that_would_be_left_dangling_is_refused():
    db = connect()
    db.executescript(f"""DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS {WHERE};
        CREATE TABLE {WHERE} (id INTEGER PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE);
        CREATE TABLE child (email TEXT REFERENCES {WHERE} (email) ON DELETE CASCADE); INSERT INTO {WHERE} VALUES (1, 'a');""")
    to = now()
    db.execute(f"INSERT INTO {WHERE} VALUES (2, 'b')")
    until = now()
    db.execute("INSERT INTO child VALUES ('b')")
    words = ("repair", "shop", "--table", TABLE, "--to", to, "--until", until, "--yes")
    done = unspill().run(*words, check=False)
    check(done.returncode != 0 and re.search("refer", done.stderr), f"{done.returncode} {done.stderr}")
    check(db.execute(f"SELECT count(*) FROM {WHERE}").fetchone() == (2,), "nothing changed")
    unspill().run(*words, "--on-conflict", "force")
    check(db.execute("SELECT count(*) FROM child").fetchone() == (1,), "and nothing cascades")
    db.close()


def diff_shows_what_any_value_was():
    """Each value to each other one, in a column that takes them all."""
    values = [None, 0, 1, -2**63, 1.0, 0.0, float("inf"), 5e-324, "1", "", "it's\n", b"", b"1", b"\0"]
    db = connect()
    db.executescript(f"DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS {WHERE}; CREATE TABLE {WHERE} (a INTEGER PRIMARY KEY, v)")
    pairs = [(was, is_now) for was in values for is_now in values]
    db.executemany(f"INSERT INTO {WHERE} VALUES (?, ?)", [(i, was) for i, (was, _) in enumerate(pairs)])
    to = now()
    db.executemany(f"UPDATE {WHERE} SET v = ? WHERE a = ?", [(is_now, i) for i, (_, is_now) in enumerate(pairs)])
    tables = unspill().json("diff", "shop", "--from", to)["tables"]
    check([table["changed"] for table in tables] == [len(values) * (len(values) - 1)], f"{tables}")
    db.close()


def all_of_it_is_taken_down():
    unspill().run("delete", "shop", "--yes")


if __name__ == "__main__":
    main(
        a_volume_inside_of_this_process,
        a_reference_that_would_be_left_dangling_is_refused,
        diff_shows_what_any_value_was,
        every_row_of_random_tables_is_what_three_way_logic_says,
        all_of_it_is_taken_down,
    )
