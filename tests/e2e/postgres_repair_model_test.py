#!/usr/bin/env python3
"""
repair_model_test.py for PostgreSQL: random tables of all of its column types, a random mistake, random good writes after it.

What is there is read by the types' own functions for binary transfer (numeric_send() ...), so that nothing of the text that
the library works with comes between.
"""
import difflib
import os
import random

import repair_model_test as model
from harness import SANDBOX, Failed, PlainPostgres, Skip, check, main, note, postgres_program, run, sandbox
from repair_model_test import LONG, blob, choice, expect, integer, on, repair, servers

SCHEMA = 'we"ird'
TABLE = "ta?b'le \"\u00fc\"$1\nx\\"


def name(text):
    return '"' + text.replace('"', '""') + '"'


WHERE = name(SCHEMA) + "." + name(TABLE)
OPTIONS = ("shared_buffers=16MB", "fsync=off", "max_connections=20")
model.START = "SET TimeZone = 'UTC';\n"


def make_three_servers_that_stand_for_before_after_and_now():
    try:
        postgres_program("postgres")
    except Failed as error:
        raise Skip("PostgreSQL is not installed: Debian's postgresql-15") from error
    for which in ("before", "after", "now"):
        server = PlainPostgres(sandbox(which), *OPTIONS)
        server.create()
        server.start()
        os.makedirs(sandbox(which, "run"))
        os.symlink(server.sockets, sandbox(which, "run/server"))
        servers.append(server)


def put(words, **more):
    return repair("engine=postgresql", *words, **{"table": TABLE, "schema": "postgres." + name(SCHEMA), **more})


def fresh():
    on((0, 1, 2), f"""
        SET client_min_messages = warning; DROP SCHEMA IF EXISTS {name(SCHEMA)} CASCADE; CREATE SCHEMA {name(SCHEMA)};
        CREATE TYPE {name(SCHEMA)}.mood AS ENUM ('sad', 'it''s', 'ok,"x"', '\u00fc');
        CREATE DOMAIN {name(SCHEMA)}.few AS numeric(10,3) CHECK (VALUE < 1000);
        CREATE TYPE {name(SCHEMA)}."Pair" AS (a int, "b c" text);
        CREATE COLLATION {name(SCHEMA)}.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);""")


# --- Types: (definition, the function that the test reads it by, a function that makes a constant) ---

def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def text(size, alphabet="aAbBzZ'\"\\\n \t%_\u00e4\u00df#?$1{},()"):
    return lambda r: quoted("".join(r.choice(alphabet) for _ in range(r.randint(0, size))))


def bits(low, high):
    return lambda r: "B'" + "".join(r.choice("01") for _ in range(r.randint(low, high))) + "'"


def numeric(r):
    if r.random() < 0.2:
        return r.choice(("'NaN'", "'Infinity'", "'-Infinity'", "0", "0.0", "-0.000"))
    return f"{r.randint(-10**25, 10**25)}.{r.randrange(10**9):09}"[:r.randint(25, 36)].rstrip(".")


def real(r):
    return quoted(r.choice(("0", "-0", "0.1", repr(1 / 3), "1e30", "-1e-30", "NaN", "Infinity", "-Infinity", repr(r.uniform(-1e9, 1e9)))))


def moment(zone):
    def make(r):
        if r.random() < 0.25:
            return r.choice(("'infinity'", "'-infinity'", "'0044-03-15 12:00:00.000001 BC'", "'294276-12-31 23:59:59.999999'"))
        return f"'20{r.randint(10, 35):02}-{r.randint(1, 12):02}-{r.randint(1, 28):02} {r.randint(0, 23):02}:{r.randint(0, 59):02}:" \
               f"{r.randint(0, 59):02}.{r.randrange(10**6):06}{zone and r.choice(('+00', '+05:30', '-11'))}'"
    return make


TYPES = [
    ("smallint", "int2send", integer(-2**15, 2**15 - 1)),
    ("integer", "int4send", integer(-2**31, 2**31 - 1)),
    ("bigint", "int8send", integer(-2**63, 2**63 - 1)),
    ("oid", "oidsend", integer(0, 2**32 - 1)),
    ("numeric", "numeric_send", numeric),
    ("numeric(30,10)", "numeric_send", lambda r: f"{r.randint(-10**18, 10**18)}.{r.randrange(10**10):010}"),
    ("real", "float4send", lambda r: real(r).replace("e9", "e3")),
    ("double precision", "float8send", real),
    ("money", "cash_send", lambda r: quoted(f"{r.randint(-10**9, 10**9)}.{r.randrange(100):02}")),
    ("boolean", "boolsend", choice("true", "false")),
    ("char(12)", "bpcharsend", text(12)),
    ("varchar(40)", "varcharsend", text(40, "aAbB\u00e4\u00c4\u00df\U0001f600 '")),
    ("text", "textsend", text(300)),
    ("text collate \"C\"", "textsend", text(60)),
    (f"text collate {name(SCHEMA)}.ci", "textsend", text(3, "aAbB")),
    ("name", "namesend", text(20, "aB '")),
    ('"char"', "charsend", text(1, "aZ'")),
    ("bytea", "byteasend", lambda r: "'\\x" + blob(600)(r)[2:]),
    ("date", "date_send", choice("'infinity'", "'-infinity'", "'0001-01-01 BC'", "'2024-02-29'", "'5874897-12-31'")),
    ("time", "time_send", choice("'24:00:00'", "'00:00:00.000001'", "'12:34:56'")),
    ("time(0) with time zone", "timetz_send", choice("'24:00:00+15:59'", "'00:00:00-15:59'", "'12:34:56+01:30'")),
    ("timestamp", "timestamp_send", moment("")),
    ("timestamptz", "timestamptz_send", moment("+")),
    ("timestamptz(3)", "timestamptz_send", choice("'infinity'", "'2024-01-01 00:00:00.999+00'", "'0044-03-15 12:00:00.001 BC'")),
    ("interval", "interval_send", choice("'1 mon'", "'30 days'", "'720 hours'", "'-1 year 2 mons -3 days 04:05:06.000007'", "'-178000000 years'", "'0'")),
    ("uuid", "uuid_send", lambda r: f"'{r.getrandbits(128):032x}'"),
    ("json", "json_send", choice("'{\"b\": 1, \"a\":[1, 2.50, null]}'", "'\"x\\u00e4\"'", "'  {\"b\":1, \"b\":2}'", "'1.0'")),
    ("jsonb", "jsonb_send", choice("'{\"b\": 1, \"a\":[1, 2.50, null]}'", "'\"x\\u00e4?\"'", "'1.0'", "'1.00'", "'null'")),
    ("xml", "xml_send", choice("'<a b=\"c\"/>'", "'x <b>y</b>'", "'<?xml version=\"1.0\"?><a/>'")),
    ("inet", "inet_send", choice("'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'fe80::1/64'")),
    ("cidr", "cidr_send", choice("'10.0.0.0/8'", "'::/0'")),
    ("macaddr", "macaddr_send", choice("'08:00:2b:01:02:03'", "'00:00:00:00:00:00'")),
    ("bit(9)", "bit_send", bits(9, 9)),
    ("bit varying(70)", "varbit_send", bits(0, 70)),
    ("tsvector", "tsvectorsend", choice("'a b:1,2A'", "'''it''''s'' c'", "''")),
    ("point", "point_send", choice("'(1,2)'", "'(-0,1e300)'", "'(NaN,Infinity)'")),
    ("box", "box_send", choice("'(1,2),(3,4)'", "'(0.1,0.2),(0.3,0.4)'")),
    ("polygon", "poly_send", choice("'((0,0),(1,0.1),(2,1e-300))'", "'((0,0))'")),
    ("int4range", "range_send", choice("'[1,5]'", "'empty'", "'(,3)'", "'[7,)'")),
    ("numrange", "range_send", choice("'[1.0,1.10)'", "'[1.00,1.1)'", "'(,)'")),
    ("tstzmultirange", "multirange_send", choice("'{[2024-01-01,2024-02-01),[2025-01-01,)}'", "'{}'")),
    ("integer[]", "array_send", choice("'{1,NULL,-3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={5,6}'")),
    ("text[]", "array_send", choice("'{\"a b\",NULL,\"NULL\",\"\",\"q\\\"x\\\\\"}'", "'{}'", "'{a}'")),
    ("numeric[]", "array_send", choice("'{1.0,NaN}'", "'{1.00,NaN}'")),
    (f"{name(SCHEMA)}.mood", "enum_send", choice("'sad'", "'it''s'", "'ok,\"x\"'", "'\u00fc'")),
    (f"{name(SCHEMA)}.few", "numeric_send", choice("999.999", "-1", "'NaN'::numeric - 1" if False else "0.000")),
    (f'{name(SCHEMA)}."Pair"', "textsend of text", choice("ROW(1,'a b')", "ROW(NULL,NULL)", "ROW(3,'q\"),(\\')")),
    (f"{name(SCHEMA)}.mood[]", "textsend of text", choice("'{sad,\"it''s\",NULL}'", "'{}'")),
]

KEYS = [
    [("integer generated always as identity", "int4send", lambda r, n: str(n))],
    [("bigint", "int8send", lambda r, n: str(-2**63 + n))],
    [(f"varchar(30) collate {name(SCHEMA)}.ci", "varcharsend", lambda r, n: f"'k''\\\n{n}\u00e4'")],
    [("text", "textsend", lambda r, n: f"'Key?{n}'"), ("smallint", "int2send", lambda r, n: str(n % 5 - 2))],
    [("bytea", "byteasend", lambda r, n: f"'\\x{n:04x}00ff'")],
    [("numeric", "numeric_send", lambda r, n: f"{n}.{n:05}" if n % 30 else f"'NaN'::numeric + {n}" if n == 0 else f"{n}"),
     (f"{name(SCHEMA)}.mood", "enum_send", lambda r, n: ("'sad'", "'it''s'", "'ok,\"x\"'")[n % 3])],
    [("timestamptz", "timestamptz_send", lambda r, n: f"'2024-01-01 00:00:00.{n:06}+00'" if n > 1 else "'infinity'")],
    [("smallint", "int2send", lambda r, n: str(n % 7)), ("date", "date_send", lambda r, n: f"'20{n % 30 + 10}-01-01'"),
     ("char(20)", "bpcharsend", lambda r, n: f"'{n} '")],
    [("double precision", "float8send", lambda r, n: repr(n / 7) if n > 1 else "'NaN'")],
    [("uuid", "uuid_send", lambda r, n: f"'{n * 2654435761 % 2**128:032x}'"), ("bit(40)", "bit_send", lambda r, n: f"{n * 1000003}::bit(40)")],
    [("integer[]", "array_send", lambda r, n: f"'{{{n},{n % 3}}}'")],
    [(f"{name(SCHEMA)}.few", "numeric_send", lambda r, n: f"{n}.5"), ("inet", "inet_send", lambda r, n: f"'10.0.0.{n % 7}'")],
    [],
]


class Table(model.Table):
    where, name, overriding = WHERE, staticmethod(name), " OVERRIDING SYSTEM VALUE"

    def __init__(self, r, key, types):  # pylint: disable=super-init-not-called
        self.r, self.key = r, key
        self.columns = [(f"k{i}", *kind) for i, kind in enumerate(key)]
        self.others = [("anchor", "bytea", "byteasend", lambda r: "'\\x" + blob(30)(r)[2:])]
        self.others += [(f"c\"?{i}'", *kind) for i, kind in enumerate(types)]
        self.next = 1
        lines = [f"{name(c)} {kind} not null" for c, kind, _, _ in self.columns]
        lines += [f"{name(c)} {kind}" for c, kind, _, _ in self.others]
        lines.append("stored text generated always as (left(encode(anchor, 'hex'), 50)) stored")
        if key:
            lines.append("PRIMARY KEY (" + ", ".join(name(c) for c, *_ in self.columns) + ")")
        on((0, 1, 2), f"CREATE TABLE {WHERE} ({', '.join(lines)});")

    def some(self):
        return f"abs(hashtext(concat_ws('#', stored, {self.r.randrange(1000)}))) % 5 = 0"

    def double(self):
        """Some of the rows once more, in a bag."""
        names = ", ".join(name(c[0]) for c in self.others)
        return f"INSERT INTO {WHERE} ({names}) SELECT {names} FROM {WHERE} WHERE {self.some()};\n"

    def ignores_case(self):
        return len(self.key) == 1 and ".ci" in self.key[0][0]

    def read(self, which):
        every = self.columns + self.others + [("stored", "text", "textsend", None)]
        columns = [f"COALESCE(encode({how.split()[0]}({name(c)}{'::text' if ' of ' in how else ''}), 'hex'), 'NULL')" for c, _, how, _ in every]
        rows = {}
        for row in servers[which].sql(f"SELECT {', '.join(columns)} FROM {WHERE};"):
            if self.key:
                rows[tuple(row[:len(self.key)])] = tuple(row)
            else:
                rows[tuple(row)] = rows.get(tuple(row), 0) + 1
        return rows


def one_random_table(number, key, types):
    r = random
    fresh()
    table = Table(r, key, types)
    on((0, 1, 2), "".join(table.insert() for _ in range(60)) + ("" if key else table.double() + table.double()))
    on((1, 2), table.writes(r.randint(1, 4)))
    on((2,), table.writes(r.randint(0, 4)))
    before, after, now = (table.read(i) for i in range(3))
    policy = r.choice(("skip", "skip", "force"))
    wanted, conflicts = expect(before, after, now, policy, *([model.fold_hex] if table.ignores_case() else []))
    words = ["range=7", "batch=5"] if r.random() < 0.7 else []
    words += ["force=1"] if policy == "force" else []
    words += ["chunked=1"] if r.random() < 0.3 else []
    described = f"table {number} ({', '.join(t[0] for t in types)}; key {[k[0] for k in key]}; {policy}; {words})"
    try:
        report, _ = put(words)
    except AssertionError as error:
        raise AssertionError(f"{described}: {error}") from error
    found = table.read(2)
    check(found == wanted, f"{described}: {len(set(found.items()) ^ set(wanted.items()))} differ, such as "
          f"{sorted(set(found.items()) ^ set(wanted.items()))[:4]}; {report}")
    check(report["conflicts"] == conflicts, f"{described}: {report}, {conflicts} conflicts expected")
    if policy == "force" or not conflicts:
        again, _ = put(words)
        check(again["inserted"] == again["updated"] == again["deleted"] == 0, f"{described}: again {again}")
    return report


def every_row_of_random_tables_is_what_three_way_logic_says():
    types, total = [], {}
    for number in range(80 if LONG else 16):
        if len(types) < 5:
            more = TYPES[:]
            random.shuffle(more)
            types += more
        chosen, types = types[:5], types[5:]
        report = one_random_table(number, KEYS[number % len(KEYS)], chosen)
        total = {what: total.get(what, 0) + count for what, count in report.items()}
    note(total)
    check(total["inserted"] and total["updated"] and total["deleted"] and total["conflicts"], f"nothing happened: {total}")


def values_that_the_server_takes_for_equal_are_told_apart():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, n numeric, f float8, i interval, t text COLLATE {name(SCHEMA)}.ci, j jsonb);"
       f"INSERT INTO {WHERE} SELECT id, 1.0, 0, '1 mon', 'a', '1.0' FROM generate_series(1, 6) id;")
    on((1, 2), "".join(f"UPDATE {WHERE} SET {what} WHERE id = {i};" for i, what in enumerate(
        ("n = 1.00", "f = '-0'", "i = '30 days'", "t = 'A'", "j = '1.00'"), 1)))
    for range_rows in (1, 100):
        report, _ = put([f"range={range_rows}", "dry=1"])
        check(report["updated"] == 5, report)
    report, _ = put([])
    check(report["updated"] == 5, report)
    check(servers[2].sql(f"SELECT DISTINCT n::text, f::text, i::text, t COLLATE \"C\", j::text FROM {WHERE}")
          == [["1.0", "0", "1 mon", "a", "1.0"]], "values")


def unique_values_that_were_exchanged_are_exchanged_back():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, email text UNIQUE, n int);"
       f"INSERT INTO {WHERE} SELECT i, 'a' || i, i FROM generate_series(1, 700) i;")
    on((1, 2), f"UPDATE {WHERE} SET email = 't' || id; UPDATE {WHERE} SET email = 'a' || (id % 5 + 1) WHERE id <= 5;")
    report, _ = put([])
    check(report["updated"] == 700 and not report["conflicts"], report)
    check(servers[2].sql(f"SELECT count(*) FROM {WHERE} WHERE email = 'a' || id") == [["700"]], "values")


def unique_values_of_a_table_without_a_key_find_room():
    """What goes and what comes are different rows, in batches of their own."""
    fresh()
    rows = ",".join(f"('a{i}', {i})" for i in range(1, 60))
    on((0, 1, 2), f"CREATE TABLE {WHERE} (email text UNIQUE, n int); INSERT INTO {WHERE} VALUES {rows}, (NULL, 7), (NULL, 7);")
    on((1, 2), f"UPDATE {WHERE} SET n = -n;")
    on((2,), f"DELETE FROM {WHERE} WHERE n = -5; INSERT INTO {WHERE} VALUES ('a5', 99);")
    report, _ = put(["range=7", "batch=5"])
    check((report["inserted"], report["deleted"], report["conflicts"]) == (60, 60, 1), report)
    check(servers[2].sql(f"SELECT n FROM {WHERE} ORDER BY n") == [[str(n)] for n in sorted([*range(1, 60), 7, 7, 99]) if n != 5], "rows")


def a_unique_value_that_somebody_else_took_is_a_conflict():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, email text COLLATE {name(SCHEMA)}.ci UNIQUE,"
       f" during tsrange, EXCLUDE USING gist (during WITH &&));"
       f"INSERT INTO {WHERE} VALUES (1,'a1','[2024-01-01,2024-01-02)'),(2,'a2','[2024-02-01,2024-02-02)'),(3,'a3',NULL),(4,'a4','[2024-03-01,2024-03-02)');")
    on((1, 2), f"DELETE FROM {WHERE} WHERE id <> 3;")
    on((2,), f"INSERT INTO {WHERE} VALUES (9, 'A2', NULL), (8, 'x', '[2024-03-01 12:00,2024-03-05)');")
    report, _ = put([])
    check(report["inserted"] == 1 and report["conflicts"] == 2, report)
    check(servers[2].sql(f"SELECT id, email FROM {WHERE} ORDER BY id") == [["1", "a1"], ["3", "a3"], ["8", "x"], ["9", "A2"]], "rows")
    error = put(["abort=1"], ok=False)
    check("in conflict" in error, error)


def a_unique_constraint_that_is_deferrable_holds_nevertheless():
    """A trigger looks after it, and triggers are silent."""
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, a int, b text, CONSTRAINT one UNIQUE (a, b) DEFERRABLE);"
       f"INSERT INTO {WHERE} VALUES (1, 1, 'x'), (2, 2, 'y'), (3, NULL, 'z'), (4, NULL, 'z');")
    on((1, 2), f"DELETE FROM {WHERE} WHERE id < 3; UPDATE {WHERE} SET b = 'oops' WHERE id > 2;")
    on((2,), f"INSERT INTO {WHERE} VALUES (9, 1, 'x');")
    error = put([], ok=False)
    check('"one"' in error, error)
    check(servers[2].sql(f"SELECT count(*) FROM {WHERE}") == [["3"]], "something was committed")
    report, _ = put(["where=id > 1"])
    check((report["inserted"], report["updated"]) == (1, 2), report)


def what_the_server_always_numbers_itself_comes_back_as_it_was():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, serial int GENERATED ALWAYS AS IDENTITY, v text);"
       f"INSERT INTO {WHERE} (id, v) SELECT i, 'v' || i FROM generate_series(1, 10) i;")
    on((1, 2), f"UPDATE {WHERE} SET v = 'oops' WHERE id < 4; UPDATE {WHERE} SET serial = DEFAULT WHERE id IN (2, 5); DELETE FROM {WHERE} WHERE id > 8;")
    check("always numbered" in put(["columns=serial"], ok=False), "the column alone")
    _, out = put(["dry=1"])
    held = servers[2].sql(f"SELECT * FROM {WHERE} ORDER BY id")
    report, _ = put([])
    check((report["updated"], report["inserted"]) == (4, 2), report)
    found = servers[2].sql(f"SELECT count(*) FROM {WHERE} WHERE serial = id AND v = 'v' || id")
    check(found == [["10"]], found)
    on((2,), f"DELETE FROM {WHERE};" + "".join(f"INSERT INTO {WHERE} OVERRIDING SYSTEM VALUE VALUES ({i}, {s}, '{v}');" for i, s, v in held))
    servers[2].sql("SET session_replication_role = replica;" + statements_of(out))
    check(servers[2].sql(f"SELECT count(*) FROM {WHERE} WHERE serial = id AND v = 'v' || id") == [["10"]], "the patch")


def columns_and_conditions_restrict_it():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, email text, name text);"
       f"INSERT INTO {WHERE} SELECT i, 'e' || i, 'n' || i FROM generate_series(1, 200) i;")
    on((1, 2), f"UPDATE {WHERE} SET email = 'oops'; DELETE FROM {WHERE} WHERE id > 150;")
    on((2,), f"UPDATE {WHERE} SET name = 'good' WHERE id % 2 = 0;")
    report, _ = put(["columns=email", "where=id <= 100", "range=16"])
    check((report["updated"], report["conflicts"], report["left"]) == (100, 0, 0), report)
    out = servers[2].sql(f"SELECT count(*) FILTER (WHERE email = 'e' || id), count(*) FILTER (WHERE name = 'good'), count(*) FROM {WHERE}")
    check(out == [["100", "75", "150"]], out)
    report, _ = put(["columns=email", "range=16"])
    check((report["updated"], report["done"], report["left"]) == (50, 100, 50), report)
    report, _ = put(["where=id > 140 or email = 'oops'", "range=16"])
    check((report["inserted"], report["done"], report["conflicts"]) == (50, 75, 75), report)
    check("nonsense" in put(["where=nonsense = 1"], ok=False), "nonsense")
    check("unterminated" in put(["where=id = 'it''s"], ok=False), "unterminated")
    check("cannot insert multiple commands" in put(["where=true); DROP TABLE x; SELECT (1"], ok=False), "two statements")


def statements_of(out):
    return out[:out.rindex("# ")]


def what_is_written_for_review_does_the_same():
    for key in (KEYS[3], []):
        fresh()
        table = Table(random, key, random.sample(TYPES, 8))
        on((0, 1, 2), "".join(table.insert() for _ in range(60)))
        on((1, 2), table.writes(4))
        before, after, now = (table.read(i) for i in range(3))
        _, out = put(["dry=1", "range=7"])
        check(table.read(2) == now, "a dry run changed something")
        servers[2].sql("SET xmloption = content; SET lc_monetary = 'C'; SET session_replication_role = replica;\n" + statements_of(out))
        check(table.read(2) == expect(before, after, now)[0], "the patch does something else")


def references_do_not_cascade_and_none_is_left_dangling():
    fresh()
    parent = name(SCHEMA) + ".parent"
    on((0, 1, 2), f"CREATE TABLE {parent} (id int PRIMARY KEY, v int);"
       f"CREATE TABLE {WHERE} (id int PRIMARY KEY, p int REFERENCES {parent} (id) ON DELETE CASCADE);"
       f"INSERT INTO {parent} VALUES (1,1),(2,2),(3,3); INSERT INTO {WHERE} VALUES (1,1),(2,2),(3,3);")
    on((1, 2), f"DELETE FROM {parent} WHERE id = 2; INSERT INTO {parent} VALUES (7, 7);")
    on((2,), f"INSERT INTO {WHERE} VALUES (70, 7);")
    check("rows that are not there" in put([], ok=False), "the child")
    check(servers[2].sql(f"SELECT id FROM {WHERE} ORDER BY id") == [["1"], ["3"], ["70"]], "something was committed")
    check("rows that are not there" in put([], ok=False, table="parent"), "the parent")
    report, _ = put(["where=id < 7"], table="parent")
    check(report["inserted"] == 1, report)
    report, _ = put([])
    check(report["inserted"] == 1, report)
    check(servers[2].sql(f"SELECT id, p FROM {WHERE} ORDER BY id") == [["1", "1"], ["2", "2"], ["3", "3"], ["70", "7"]], "rows")


def triggers_are_silent_but_those_for_subscribers_which_are_noticed():
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, v int, t int); INSERT INTO {WHERE} VALUES (1,1,1),(2,2,2);"
       f"CREATE FUNCTION {name(SCHEMA)}.bump() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.t := OLD.t + 1; RETURN NEW; END';")
    on((1, 2), f"UPDATE {WHERE} SET v = 0;")
    on((2,), f"CREATE TRIGGER bump BEFORE UPDATE ON {WHERE} FOR EACH ROW EXECUTE FUNCTION {name(SCHEMA)}.bump();")
    report, _ = put([])
    check(report["updated"] == 2, report)
    check(servers[2].sql(f"SELECT v, t FROM {WHERE} ORDER BY id") == [["1", "1"], ["2", "2"]], "rows")
    on((2,), f"ALTER TABLE {WHERE} DISABLE TRIGGER bump; UPDATE {WHERE} SET v = 0; ALTER TABLE {WHERE} ENABLE ALWAYS TRIGGER bump;")
    error = put([], ok=False)
    check("bump" in error, error)
    check(servers[2].sql(f"SELECT v, t FROM {WHERE} ORDER BY id") == [["0", "1"], ["0", "2"]], "something was committed")


def definition():
    """What psql says of the table, and who may do what with it."""
    pattern = f"{name(SCHEMA)}.*"
    return run(servers[2].client("-X", "-c", f"\\d+ {pattern}", "-c", f"\\dp {pattern}", "-c", f"\\ds {pattern}", "-c", f"\\dT+ {pattern}"
                                 )).stdout


def differences(made):
    return "\n".join(difflib.unified_diff(made.splitlines(), definition().splitlines(), lineterm=""))


def a_table_that_is_gone_comes_back_whole():
    for key in (KEYS[0], KEYS[3], []):
        fresh()
        table = Table(random, key, random.sample(TYPES, 10))
        on((0, 1, 2), "".join(table.insert() for _ in range(150)))
        on((0, 1, 2), f"""
            DO $$BEGIN CREATE ROLE someone; EXCEPTION WHEN duplicate_object THEN NULL; END$$;
            CREATE TABLE {name(SCHEMA)}.log (n int); CREATE TABLE {name(SCHEMA)}.parent (id int PRIMARY KEY); INSERT INTO {name(SCHEMA)}.parent VALUES (1);
            CREATE FUNCTION {name(SCHEMA)}.noted() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO "we""ird".log VALUES (1); RETURN NEW; END';
            CREATE TRIGGER "tr;'x" BEFORE INSERT ON {WHERE} FOR EACH ROW EXECUTE FUNCTION {name(SCHEMA)}.noted('a;b', E'c\\\\''d');
            ALTER TABLE {WHERE} ADD COLUMN p int DEFAULT 1 REFERENCES {name(SCHEMA)}.parent, ADD COLUMN "se;q" serial, ADD CONSTRAINT c CHECK (p > 0 AND ';' <> ''''),
                ALTER COLUMN stored SET STATISTICS 50, SET (fillfactor = 70);
            CREATE INDEX again ON {WHERE} (stored DESC) WHERE p > 0; CREATE UNIQUE INDEX once ON {WHERE} ("se;q", lower(stored)); ALTER TABLE {WHERE} ADD UNIQUE ("se;q");
            COMMENT ON TABLE {WHERE} IS E'it''s; $$ "x"\\n-- \\\\restrict'; COMMENT ON COLUMN {WHERE}.p IS 'p'; COMMENT ON CONSTRAINT c ON {WHERE} IS 'c';
            GRANT SELECT, UPDATE (p) ON {WHERE} TO someone WITH GRANT OPTION; ALTER TABLE {WHERE} OWNER TO someone;
            ALTER TABLE {WHERE} ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON {WHERE} USING (p > 0);
            CREATE STATISTICS {name(SCHEMA)}.st ON p, stored FROM {WHERE};
            CREATE TABLE {name(SCHEMA)}."chi'ld" (s int REFERENCES {WHERE} ("se;q") ON DELETE CASCADE, gone int REFERENCES {WHERE} ("se;q"));
            DROP PUBLICATION IF EXISTS pub, pub2; CREATE PUBLICATION pub FOR TABLE {WHERE} ("se;q", p, anchor{''.join(', k' + str(i) for i in range(len(key)))}) WHERE (p > 0);
            CREATE PUBLICATION pub2 FOR TABLE {WHERE};""")
        if key == KEYS[0]:
            on((0, 1, 2), f"SELECT setval(pg_get_serial_sequence({quoted(WHERE)}, 'k0'), 700);")
        before, made = table.read(0), definition()
        on((1, 2), f"DROP TABLE {WHERE} CASCADE;")
        report, _ = put(["whole=1"])
        check(report["rows"] == 150, report)
        check(table.read(2) == before, "rows")
        check(definition() == made, differences(made))
        check(servers[2].sql(f"SELECT count(*) FROM {name(SCHEMA)}.log") == [["0"]], "a trigger fired")
        on((2,), f"INSERT INTO {WHERE} ({'k0, k1, ' if len(key) == 2 else ''}anchor) VALUES ({chr(39)*2 + ', 1, ' if len(key) == 2 else ''}'x');")
        check(servers[2].sql(f"SELECT count(*) FROM {name(SCHEMA)}.log") == [["1"]], "the trigger is not back")
        check(servers[2].sql(f"SELECT max(\"se;q\") FROM {WHERE}") == [["151"]], "the sequence is not where it was")
        check(key != KEYS[0] or servers[2].sql(f"SELECT max(k0) FROM {WHERE}") == [["701"]], "the identity's sequence is not where it was")
        # As a patch.
        on((2,), f"DROP TABLE {WHERE} CASCADE;")
        _, out = put(["whole=1", "dry=1"])
        servers[2].sql("SET xmloption = content; SET lc_monetary = 'C';\n" + statements_of(out))
        check(table.read(2) == before and definition() == made, "the patch does something else")


def partitions_and_tables_that_inherit_are_told_apart():
    fresh()
    heir = name(SCHEMA) + ".heir"
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int PRIMARY KEY, v int); CREATE TABLE {heir} (x int) INHERITS ({WHERE});"
       f"INSERT INTO {WHERE} VALUES (1,1),(2,2); INSERT INTO {heir} VALUES (1,1,1),(5,5,5);")
    on((1, 2), f"UPDATE {WHERE} SET v = 0; DELETE FROM {WHERE} WHERE id = 2;")
    report, _ = put([])
    check((report["updated"], report["inserted"]) == (1, 1), report)
    check(servers[2].sql(f"SELECT id, v FROM ONLY {WHERE} ORDER BY 1") == [["1", "1"], ["2", "2"]], "rows")
    check(servers[2].sql(f"SELECT id, v FROM {heir} ORDER BY 1") == [["1", "0"], ["5", "0"]], "rows of another table")
    fresh()
    on((0, 1, 2), f"CREATE TABLE {WHERE} (id int, v int, PRIMARY KEY (id, v)) PARTITION BY RANGE (id);"
       f"CREATE TABLE {name(SCHEMA)}.low PARTITION OF {WHERE} FOR VALUES FROM (0) TO (100); CREATE TABLE {name(SCHEMA)}.\"hi;gh\" PARTITION OF {WHERE} DEFAULT;"
       f"CREATE INDEX ON {WHERE} (v); INSERT INTO {WHERE} SELECT i, i FROM generate_series(1, 200) i;")
    on((1, 2), f"DELETE FROM {WHERE} WHERE id > 50; UPDATE {WHERE} SET id = id + 1000 WHERE id < 10;")
    report, _ = put([])
    check((report["inserted"], report["deleted"]) == (159, 9), report)
    found = f"SELECT count(*), sum(id), sum(v), (SELECT count(*) FROM {name(SCHEMA)}.low) FROM {WHERE}"
    check(servers[2].sql(found) == [["200", "20100", "20100", "99"]], servers[2].sql(found))
    made = definition()
    on((2,), f"DROP TABLE {WHERE};")
    report, _ = put(["whole=1"])
    check(report["rows"] == 200 and servers[2].sql(found) == [["200", "20100", "20100", "99"]], report)
    check(definition() == made, differences(made))


if __name__ == "__main__":
    check(SANDBOX, "no sandbox")
    try:
        main(
            make_three_servers_that_stand_for_before_after_and_now,
            values_that_the_server_takes_for_equal_are_told_apart,
            unique_values_that_were_exchanged_are_exchanged_back,
            unique_values_of_a_table_without_a_key_find_room,
            a_unique_value_that_somebody_else_took_is_a_conflict,
            a_unique_constraint_that_is_deferrable_holds_nevertheless,
            what_the_server_always_numbers_itself_comes_back_as_it_was,
            columns_and_conditions_restrict_it,
            references_do_not_cascade_and_none_is_left_dangling,
            triggers_are_silent_but_those_for_subscribers_which_are_noticed,
            partitions_and_tables_that_inherit_are_told_apart,
            a_table_that_is_gone_comes_back_whole,
            what_is_written_for_review_does_the_same,
            every_row_of_random_tables_is_what_three_way_logic_says,
        )
    finally:
        model.stop()
