#!/usr/bin/env python3
"""
Repair against a model: random tables of all column types, a random mistake, random good writes after it.

Three plain servers stand for the three states (before the mistake, after it, now); what the repaired table must hold is
computed here, from what those servers say, by the three-way rule alone.  The library is the one behind `unspill repair`;
tests/e2e/repair_test.py has the command on a volume.
"""
import os
import random
import subprocess

from harness import LONG, SANDBOX, PlainServer, check, find_binary, main, note, sandbox

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.path.join(os.path.dirname(find_binary(TOP)), "../../tests/e2e/repair_driver")
SCHEMA = "we`ird"
TABLE = "ta`b'le \"ü\"\nx"
OPTIONS = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--skip-log-bin")
START = "SET NAMES utf8mb4; SET sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'; SET time_zone='+00:00';" \
        " SET timestamp=1700000000.5;\n"
servers = []


def name(text):
    return "`" + text.replace("`", "``") + "`"


WHERE = name(SCHEMA) + "." + name(TABLE)


def make_three_servers_that_stand_for_before_after_and_now():
    for which in ("before", "after", "now"):
        server = PlainServer(sandbox(which), *OPTIONS)
        server.create()
        server.start()
        run_dir = sandbox(which, "run")
        os.makedirs(os.path.join(run_dir, "server"))
        os.symlink(server.socket, os.path.join(run_dir, "server/sock"))
        os.symlink(server.defaults, os.path.join(run_dir, "client.cnf"))
        servers.append(server)


def on(which, text):
    """Run on those of the three servers."""
    out = None
    for i in which:
        out = servers[i].sql(START + text)
    return out


def fresh():
    on((0, 1, 2), f"DROP DATABASE IF EXISTS {name(SCHEMA)}; CREATE DATABASE {name(SCHEMA)} CHARACTER SET utf8mb4;")


def repair(*words, ok=True, table=TABLE, schema=SCHEMA):
    done = subprocess.run([DRIVER, *(sandbox(w, "run") for w in ("before", "after", "now")), schema, table, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    if ok:
        check(done.returncode == 0, f"repair: {done.returncode} {done.stderr}")
        counts = done.stdout[done.stdout.rindex("# "):].split()[1:]
        return dict(zip(counts[::2], map(int, counts[1::2]))), done.stdout
    check(done.returncode == 1, f"repair: {done.returncode} {done.stdout} {done.stderr}")
    return done.stderr


# --- Types: (definition, how the test reads it, a function that makes a constant) ---

def integer(low, high):
    return lambda r: str(r.choice((low, high, 0, r.randint(low, high), r.randint(-3 if low < 0 else 0, 9))))


def text(size, alphabet="aAbBzZ'\"\\\n\0 %_\u00e4\u00df#"):
    def make(r):
        value = "".join(r.choice(alphabet) for _ in range(r.randint(0, size)))
        return "CONVERT(X'" + value.encode().hex() + "' USING utf8mb4)"
    return make


def blob(size):
    return lambda r: "X'" + bytes(r.randrange(256) for _ in range(r.randint(0, size))).hex() + "'"


def choice(*words):
    return lambda r: r.choice(words)


def real(r):
    return repr(r.choice((0.0, -0.0, 0.1, 1 / 3, 1e30, -1e-30, r.random(), r.uniform(-1e9, 1e9))))


def moment(fraction):
    def make(r):
        if r.random() < 0.2:
            return "'0000-00-00 00:00:00'"
        return f"'20{r.randint(10, 35):02}-{r.randint(1, 12):02}-{r.randint(1, 28):02} {r.randint(0, 23):02}:" \
               f"{r.randint(0, 59):02}:{r.randint(0, 59):02}" + (f".{r.randrange(10**fraction):0{fraction}}'" if fraction else "'")
    return make


PLAIN, HEX = "CAST({} AS CHAR)", "HEX({})"
TYPES = [
    ("tinyint", PLAIN, integer(-128, 127)),
    ("smallint unsigned zerofill", PLAIN, integer(0, 65535)),
    ("int", PLAIN, integer(-2**31, 2**31 - 1)),
    ("bigint", PLAIN, integer(-2**63, 2**63 - 1)),
    ("bigint unsigned", PLAIN, integer(0, 2**64 - 1)),
    ("decimal(30,10)", PLAIN, lambda r: f"{r.randint(-10**19, 10**19)}.{r.randrange(10**10):010}"),
    ("decimal(5,2) unsigned", PLAIN, lambda r: f"{r.randrange(1000)}.{r.randrange(100):02}"),
    ("float", "CONCAT({}+0e0)", real),
    ("double", "CONCAT({}+0e0)", real),
    ("double(12,3)", "CONCAT({}+0e0)", lambda r: f"{r.uniform(-1e6, 1e6):.3f}"),
    ("char(12) character set latin1", HEX, text(12)),
    ("char(8) character set utf8mb4 collate utf8mb4_bin", HEX, text(8)),
    ("varchar(40) character set utf8mb4 collate utf8mb4_unicode_ci", HEX, text(40, "aAbB\u00e4\u00c4\u00df\U0001f600 '")),
    ("varchar(20) character set ucs2", HEX, text(20, "aA\u00e4 '")),
    ("varchar(20) character set utf16 collate utf16_bin", HEX, text(10, "aA\u00e4\U0001f600")),
    ("varchar(20) character set sjis", HEX, text(20, "aA \\'")),
    ("varchar(20) character set latin1 collate latin1_german2_ci", HEX, text(20)),
    ("binary(10)", HEX, blob(10)),
    ("varbinary(30)", HEX, blob(30)),
    ("tinyblob", HEX, blob(60)),
    ("longblob", HEX, blob(3000)),
    ("text", HEX, text(300)),
    ("mediumtext character set latin1", HEX, text(300)),
    ("json", HEX, choice("'{\"a\": [1, 2.50, null]}'", "'\"x\\\\u00e4\"'", "'[]'", "'  {\"b\":1}'")),
    ("enum('a','it''s','','x,y')", "CONCAT({}+0,'-',HEX({}))", choice("'a'", "'it''s'", "3", "'x,y'", "0")),
    ("set('a','b','c d','it''s')", "CONCAT({}+0,'-',HEX({}))", lambda r: str(r.randrange(16))),
    ("bit(1)", "HEX({}+0)", choice("0", "1")),
    ("bit(64)", "HEX({}+0)", integer(0, 2**64 - 1)),
    ("date", PLAIN, choice("'2024-02-29'", "'0000-00-00'", "'2024-02-31'", "'2024-00-00'", "'9999-12-31'")),
    ("time", PLAIN, choice("'-838:59:59'", "'838:59:59'", "'00:00:00'", "'12:34:56'")),
    ("time(6)", PLAIN, choice("'-838:59:59.999999'", "'00:00:00.000001'")),
    ("datetime", PLAIN, moment(0)),
    ("datetime(6)", PLAIN, moment(6)),
    ("timestamp null default null", PLAIN, moment(0)),
    ("timestamp(6) not null default current_timestamp(6) on update current_timestamp(6)", PLAIN, moment(6)),
    ("year", PLAIN, choice("'0000'", "'1901'", "'2155'", "'2024'")),
    ("inet6", PLAIN, choice("'::1'", "'1234:1234::1:123'", "'fe80::1'")),
    ("uuid", PLAIN, choice("'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000000'")),
    ("point", HEX, choice("POINT(1,2)", "POINT(-0.5,1e30)")),
]

KEYS = [
    [("int auto_increment", PLAIN, lambda r, n: str(n))],
    [("bigint unsigned", PLAIN, lambda r, n: str(2**64 - 1 - n))],
    [("varchar(30) character set utf8mb4 collate utf8mb4_general_ci", HEX, lambda r, n: f"'k''\\\\\n{n}\u00e4'")],
    [("varchar(30) character set latin1", HEX, lambda r, n: f"'Key {n}'"), ("smallint", PLAIN, lambda r, n: str(n % 5 - 2))],
    [("varbinary(20)", HEX, lambda r, n: f"X'{n:04x}00ff'")],
    [("decimal(20,5)", PLAIN, lambda r, n: f"{n}.{n:05}"), ("enum('x','y','z')", "CONCAT({}+0)", lambda r, n: str(n % 3 + 1))],
    [("datetime(6)", PLAIN, lambda r, n: f"'2024-01-01 00:00:00.{n:06}'")],
    [("tinyint", PLAIN, lambda r, n: str(n % 7)), ("date", PLAIN, lambda r, n: f"'20{n % 30 + 10}-01-01'"),
     ("char(20) character set utf8mb4 collate utf8mb4_bin", HEX, lambda r, n: f"'{n}'")],
    [("double", "CONCAT({}+0e0)", lambda r, n: repr(n / 7))],
    [("year", PLAIN, lambda r, n: str(1901 + n % 200)), ("bit(40)", "HEX({}+0)", lambda r, n: str(n * 1000003))],
    [],
]


class Table:
    """A random table, the same on all three servers, and statements on it; another engine's has its own words."""

    where, name, overriding = WHERE, staticmethod(name), ""

    def __init__(self, r, key, types):
        self.r, self.key = r, key
        self.columns = [(f"k{i}", *kind) for i, kind in enumerate(key)]
        self.others = [("anchor", "varbinary(30)", HEX, blob(30))]
        self.others += [(f"c`{i}'", *kind) for i, kind in enumerate(types)]
        self.next = 1
        lines = [f"{name(c)} {kind}" + ("" if "auto" in kind else " not null") for c, kind, _, _ in self.columns]
        lines += [f"{name(c)} {kind}" for c, kind, _, _ in self.others]
        lines.append("`virtual` int as (length(anchor)) virtual")
        lines.append("`stored` varchar(50) as (left(hex(anchor), 50)) persistent")
        if key:
            lines.append("PRIMARY KEY (" + ", ".join(name(c) for c, *_ in self.columns) + ")")
        on((0, 1, 2), f"CREATE TABLE {WHERE} ({', '.join(lines)}) ENGINE=InnoDB CHARACTER SET utf8mb4;")

    def value(self, column):
        _, kind, _, make = column
        return "NULL" if "not null" not in kind and self.r.random() < 0.15 else make(self.r)

    def insert(self):
        n = self.next
        self.next += 1
        names = [self.name(c) for c, *_ in self.columns + self.others]
        values = [make(self.r, n) for _, _, _, make in self.columns] + [self.value(c) for c in self.others]
        return f"INSERT INTO {self.where} ({', '.join(names)}){self.overriding} VALUES ({', '.join(values)});\n"

    def some(self):
        """A condition for about a fifth of what is there; the same rows wherever they are the same."""
        return f"CRC32(CONCAT_WS('#', `stored`, {self.r.randrange(1000)})) % 5 = 0"

    def update(self):
        chosen = self.r.sample(self.others, self.r.randint(1, min(4, len(self.others))))
        sets = ", ".join(f"{self.name(c[0])} = {self.value(c)}" for c in chosen)
        return f"UPDATE {self.where} SET {sets} WHERE {self.some()};\n"

    def delete(self):
        return f"DELETE FROM {self.where} WHERE {self.some()};\n"

    def rename(self):
        """The key is another text, and for the collation the same."""
        if self.ignores_case():
            return f"UPDATE {self.where} SET k0 = UPPER(k0) WHERE {self.some()};\n"
        return self.update()

    def ignores_case(self):
        return len(self.key) == 1 and "general_ci" in self.key[0][0]

    def writes(self, n):
        kinds = [self.update, self.update, self.delete, self.insert, self.insert, self.rename]
        return "".join(self.r.choice(kinds)() for _ in range(n))

    def read(self, which):
        """{key: row}, or for a bag {row: copies}; all as the test's own expressions have it."""
        every = self.columns + self.others
        columns = [f"COALESCE({how.replace('{}', name(c))}, 'NULL')" for c, _, how, _ in every]
        out = servers[which].sql(f"{START} SELECT {', '.join(columns)}, COALESCE(`stored`, 'NULL'), COALESCE(`virtual`, 'NULL') FROM {WHERE};")
        rows = {}
        for row in out:
            if self.key:
                rows[tuple(row[:len(self.key)])] = tuple(row)
            else:
                rows[tuple(row)] = rows.get(tuple(row), 0) + 1
        return rows


def expect(before, after, now, policy="skip", fold=lambda key: key):
    """
    What three-way logic says of every row, and how many conflicts there are.  Keys that `fold` makes the same cannot both
    be there: what has no room is a conflict, too.
    """
    result, conflicts, back = dict(now), 0, {}
    for key in set(before) | set(after):
        b, a, n = before.get(key), after.get(key), now.get(key)
        if b == a or n == b:
            continue
        if n != a:
            conflicts += 1
            if policy == "skip":
                continue
        if b is None:
            result.pop(key, None)
        else:
            back[key] = b
    taken = {fold(key): key for key in result}
    for key, row in back.items():
        if taken.get(fold(key), key) == key:
            result[key] = row
        else:
            conflicts += 1
    return result, conflicts


def fold_hex(key):
    return tuple(bytes.fromhex(part).decode("utf-8").upper() for part in key)


def one_random_table(number, key, types):
    r = random
    fresh()
    table = Table(r, key, types)
    rows = 60
    on((0, 1, 2), "".join(table.insert() for _ in range(rows)) + ("" if key else "".join(
        f"INSERT INTO {WHERE} ({', '.join(name(c[0]) for c in table.others)}) SELECT {', '.join(name(c[0]) for c in table.others)}"
        f" FROM {WHERE} WHERE {table.some()};\n" for _ in range(2))))
    on((1, 2), table.writes(r.randint(1, 4)))
    on((2,), table.writes(r.randint(0, 4)))
    before, after, now = (table.read(i) for i in range(3))
    policy = r.choice(("skip", "skip", "force"))
    ignores_case = table.ignores_case()
    wanted, conflicts = expect(before, after, now, policy, *([fold_hex] if ignores_case else []))
    words = ["range=7", "batch=5"] if r.random() < 0.7 else []
    words += ["force=1"] if policy == "force" else []
    words += ["chunked=1"] if r.random() < 0.3 else []
    described = f"table {number} ({', '.join(t[0] for t in types)}; key {[k[0] for k in key]}; {policy}; {words})"
    report, _ = repair(*words)
    found = table.read(2)
    check(found == wanted, f"{described}: {len(set(found.items()) ^ set(wanted.items()))} differ, such as "
          f"{sorted(set(found.items()) ^ set(wanted.items()))[:4]}; {report}")
    check(report["conflicts"] == conflicts, f"{described}: {report}, {conflicts} conflicts expected")
    # Once more: nothing is left to do, and nothing is done.
    if policy == "force" or not conflicts:
        again, _ = repair(*words)
        check(again["inserted"] == again["updated"] == again["deleted"] == 0, f"{described}: again {again}")
    return report


def every_row_of_random_tables_is_what_three_way_logic_says():
    types = TYPES[:]
    random.shuffle(types)
    total = {}
    tables = 80 if LONG else 14
    for number in range(tables):
        if len(types) < 5:
            more = TYPES[:]
            random.shuffle(more)
            types += more
        chosen, types = types[:5], types[5:]
        report = one_random_table(number, KEYS[number % len(KEYS)], chosen)
        total = {what: total.get(what, 0) + count for what, count in report.items()}
    note(total)
    check(total["inserted"] and total["updated"] and total["deleted"] and total["conflicts"], f"nothing happened: {total}")


def two_rows_that_exchanged_their_values_are_told_from_the_two_that_they_were():
    """A XOR of checksums would be the same."""
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id INT PRIMARY KEY, v CHAR(1), w INT);"
       f"INSERT INTO {WHERE} VALUES (1,'x',1),(2,'y',2),(3,'z',3);")
    on((1, 2), f"UPDATE {WHERE} SET v = CASE id WHEN 1 THEN 'y' ELSE 'x' END, w = 3 - id WHERE id < 3;")
    report, _ = repair()
    check(report["updated"] == 2, report)
    check(servers[2].sql(f"SELECT v, w FROM {WHERE} ORDER BY id") == [["x", "1"], ["y", "2"], ["z", "3"]], "values")


def unique_values_that_were_exchanged_are_exchanged_back():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id INT PRIMARY KEY, email VARCHAR(50) UNIQUE, n INT);"
       f"INSERT INTO {WHERE} SELECT seq, CONCAT('a', seq), seq FROM {name(SCHEMA)}.s;".replace(f"SELECT seq, CONCAT('a', seq), seq FROM {name(SCHEMA)}.s",
       "VALUES (1,'a1',1),(2,'a2',2),(3,'a3',3),(4,'a4',4),(5,'a5',5)"))
    on((1, 2), f"UPDATE {WHERE} SET email = CONCAT('t', id); UPDATE {WHERE} SET email = CONCAT('a', id % 5 + 1);")
    report, _ = repair()
    check(report["updated"] == 5 and not report["conflicts"], report)
    check(servers[2].sql(f"SELECT email FROM {WHERE} ORDER BY id") == [[f"a{i}"] for i in range(1, 6)], "values")


def unique_values_of_a_table_without_a_key_find_room():
    """What goes and what comes are different rows, in batches of their own."""
    fresh()
    rows = ",".join(f"('a{i}', {i})" for i in range(1, 60))
    on((0, 1, 2), f"CREATE TABLE {WHERE} (email VARCHAR(50) UNIQUE, n int); INSERT INTO {WHERE} VALUES {rows}, (NULL, 7), (NULL, 7);")
    on((1, 2), f"UPDATE {WHERE} SET n = -n;")
    on((2,), f"DELETE FROM {WHERE} WHERE n = -5; INSERT INTO {WHERE} VALUES ('a5', 99);")
    report, _ = repair("range=7", "batch=5")
    check((report["inserted"], report["deleted"], report["conflicts"]) == (60, 60, 1), report)
    check(servers[2].sql(f"SELECT n FROM {WHERE} ORDER BY n") == [[str(n)] for n in sorted([*range(1, 60), 7, 7, 99]) if n != 5], "rows")


def a_unique_value_that_somebody_else_took_is_a_conflict():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id INT PRIMARY KEY, email VARCHAR(50) UNIQUE);"
       f"INSERT INTO {WHERE} VALUES (1,'a1'),(2,'a2'),(3,'a3');")
    on((1, 2), f"DELETE FROM {WHERE} WHERE id < 3;")
    on((2,), f"INSERT INTO {WHERE} VALUES (9, 'A2');")
    report, _ = repair()
    check(report["inserted"] == 1 and report["conflicts"] == 1, report)
    check(servers[2].sql(f"SELECT id, email FROM {WHERE} ORDER BY id") == [["1", "a1"], ["3", "a3"], ["9", "A2"]], "rows")
    error = repair("abort=1", ok=False)
    check("in conflict" in error, error)


def columns_and_conditions_restrict_it():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id INT PRIMARY KEY, email VARCHAR(50), name VARCHAR(50),"
       f" at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);"
       f"INSERT INTO {WHERE} SELECT seq, CONCAT('e', seq), CONCAT('n', seq), '2020-01-01' FROM seq_1_to_200;".replace(
           f"INSERT INTO {WHERE} SELECT", f"USE {name(SCHEMA)}; INSERT INTO {WHERE} SELECT"))
    on((1, 2), f"UPDATE {WHERE} SET email = 'oops', at = '2021-01-01'; DELETE FROM {WHERE} WHERE id > 150;")
    on((2,), f"UPDATE {WHERE} SET name = 'good', at = '2022-01-01' WHERE id % 2 = 0;")
    report, _ = repair("columns=email", "where=id <= 100", "range=16")
    check((report["updated"], report["conflicts"], report["left"]) == (100, 0, 0), report)
    out = servers[2].sql(f"SELECT SUM(email = CONCAT('e', id)), SUM(name = 'good'), SUM(at > '2020-06-01'), COUNT(*) FROM {WHERE}")
    check(out == [["100", "75", "150", "150"]], out)
    report, _ = repair("columns=email", "range=16")
    check((report["updated"], report["done"], report["left"]) == (50, 100, 50), report)
    # Whole rows now: those whose name is new are in conflict.
    report, _ = repair("where=id > 140 or email = 'oops'", "range=16")
    check((report["inserted"], report["conflicts"]) == (50, 150), report)
    error = repair("where=nonsense = 1", ok=False)
    check("nonsense" in error, error)
    error = repair("where=id = 'it''s", ok=False)
    check("syntax" in error, error)


def what_is_written_for_review_does_the_same():
    fresh()
    table = Table(random, KEYS[1], random.sample(TYPES, 8))
    on((0, 1, 2), "".join(table.insert() for _ in range(60)))
    on((1, 2), table.writes(4))
    before, after, now = (table.read(i) for i in range(3))
    _, out = repair("dry=1", "range=7")
    check(table.read(2) == now, "a dry run changed something")
    statements = "".join(line for line in out.splitlines(keepends=True) if not line.startswith("# "))
    servers[2].sql(START + "SET foreign_key_checks=0;\n" + statements)
    check(table.read(2) == expect(before, after, now)[0], "the patch does something else")


def references_do_not_cascade_and_none_is_left_dangling():
    fresh()
    parent = name(SCHEMA) + ".parent"
    on((0, 1, 2), f"CREATE TABLE {parent} (id INT PRIMARY KEY, v INT);"
       f"CREATE TABLE {WHERE} (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES {parent} (id) ON DELETE CASCADE);"
       f"INSERT INTO {parent} VALUES (1,1),(2,2),(3,3); INSERT INTO {WHERE} VALUES (1,1),(2,2),(3,3);")
    on((1, 2), f"DELETE FROM {parent} WHERE id = 2; INSERT INTO {parent} VALUES (7, 7);")
    on((2,), f"INSERT INTO {WHERE} VALUES (70, 7);")
    # The child first: its parent is not there.
    error = repair(ok=False)
    check("rows that are not there" in error, error)
    check(servers[2].sql(f"SELECT id FROM {WHERE} ORDER BY id") == [["1"], ["3"], ["70"]], "something was committed")
    # The parent: 7 is referred to by a row that came since.
    error = repair(ok=False, table="parent")
    check("rows that are not there" in error, error)
    report, _ = repair("where=id < 7", table="parent")
    check(report["inserted"] == 1, report)
    report, _ = repair()
    check(report["inserted"] == 1, report)
    check(servers[2].sql(f"SELECT id, p FROM {WHERE} ORDER BY id") == [["1", "1"], ["2", "2"], ["3", "3"], ["70", "7"]], "rows")


def a_trigger_that_changes_what_is_put_back_is_noticed():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id INT PRIMARY KEY, v INT, t INT); INSERT INTO {WHERE} VALUES (1,1,1),(2,2,2);"
       f"CREATE TRIGGER {name(SCHEMA)}.bump BEFORE UPDATE ON {WHERE} FOR EACH ROW SET NEW.t = IF(@unspill_repair, NEW.t, OLD.t + 1);")
    on((1, 2), f"UPDATE {WHERE} SET v = 0;")
    report, _ = repair()
    check(report["updated"] == 2, report)
    check(servers[2].sql(f"SELECT v, t FROM {WHERE} ORDER BY id") == [["1", "1"], ["2", "2"]], "rows")
    on((0, 1, 2), f"DROP TRIGGER {name(SCHEMA)}.bump; CREATE TRIGGER {name(SCHEMA)}.bump BEFORE UPDATE ON {WHERE} FOR EACH ROW SET NEW.t = OLD.t + 1;")
    on((2,), f"UPDATE {WHERE} SET v = 0; DROP TRIGGER {name(SCHEMA)}.bump; UPDATE {WHERE} SET t = id + 1;"
       f"CREATE TRIGGER {name(SCHEMA)}.bump BEFORE UPDATE ON {WHERE} FOR EACH ROW SET NEW.t = OLD.t + 1;")
    error = repair(ok=False)
    check("bump" in error, error)
    check(servers[2].sql(f"SELECT v, t FROM {WHERE} ORDER BY id") == [["0", "2"], ["0", "3"]], "something was committed")


def a_table_that_is_gone_comes_back_whole():
    for key in (KEYS[0], KEYS[3], []):
        fresh()
        table = Table(random, key, random.sample(TYPES, 10))
        on((0, 1, 2), "".join(table.insert() for _ in range(150)))
        on((0, 1, 2), f"CREATE TABLE {name(SCHEMA)}.log (n INT); ALTER TABLE {WHERE} ADD KEY again (`stored`);"
           f"CREATE DEFINER=root@localhost TRIGGER {name(SCHEMA)}.tr BEFORE INSERT ON {WHERE} FOR EACH ROW INSERT INTO {name(SCHEMA)}.log VALUES (1);"
           f"CREATE USER IF NOT EXISTS someone; GRANT SELECT ON {WHERE} TO someone;")
        if key and "auto" in key[0][0]:
            on((0, 1, 2), f"ALTER TABLE {WHERE} AUTO_INCREMENT = 1000;")
        before = table.read(0)
        definition = servers[2].sql(f"SHOW CREATE TABLE {WHERE}")
        on((1, 2), f"DROP TABLE {WHERE};")
        report, _ = repair("whole=1")
        check(report["rows"] == 150, report)
        check(table.read(2) == before, "rows")
        check(servers[2].sql(f"SHOW CREATE TABLE {WHERE}") == definition, "definition")
        check(servers[2].sql(f"SELECT COUNT(*) FROM {name(SCHEMA)}.log") == [["0"]], "a trigger fired")
        on((2,), table.insert())
        check(servers[2].sql(f"SELECT COUNT(*) FROM {name(SCHEMA)}.log") == [["1"]], "the trigger is not back")
        grants = servers[2].sql("SHOW GRANTS FOR someone")
        check(any("ta``b" in grant[0] for grant in grants), f"grants: {grants}")
        left = servers[2].sql("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'unspill%'")
        check(not left, left)


def stop():
    for server in servers:
        server.stop()


if __name__ == "__main__":
    check(SANDBOX, "no sandbox")
    try:
        main(
            make_three_servers_that_stand_for_before_after_and_now,
            two_rows_that_exchanged_their_values_are_told_from_the_two_that_they_were,
            unique_values_that_were_exchanged_are_exchanged_back,
            unique_values_of_a_table_without_a_key_find_room,
            a_unique_value_that_somebody_else_took_is_a_conflict,
            columns_and_conditions_restrict_it,
            references_do_not_cascade_and_none_is_left_dangling,
            a_trigger_that_changes_what_is_put_back_is_noticed,
            a_table_that_is_gone_comes_back_whole,
            what_is_written_for_review_does_the_same,
            every_row_of_random_tables_is_what_three_way_logic_says,
        )
    finally:
        stop()
