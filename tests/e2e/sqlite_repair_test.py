"""
SQLite: diff, find, repair and clone, while nobody has the database open and while a program has; every kind of value and of
table exactly.
"""
import json
import os
import sqlite3
import subprocess
import time

from harness import Failed, Skip, TOP, check, find_binary, iso, main, now_us, run, sandbox, unspill

BUILD = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(find_binary(TOP)))))
EXTENSION = os.path.join(BUILD, "src", "vfs", "unspill")
PROGRAM = os.path.join(TOP, "tests", "e2e", "sqlite_program.py")

SCHEMA = """
    CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE COLLATE NOCASE, visits INTEGER DEFAULT 0, score REAL,
        photo BLOB, any, shown AS (upper(email)));
    CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER REFERENCES users (id), total NUMERIC);
    CREATE INDEX by_user ON orders (user);
    CREATE TABLE pairs (a TEXT, b INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE bag (at, text);
    CREATE TABLE "odd ""name'" ("a column" TEXT NOT NULL UNIQUE, "x;y" INT);
    CREATE TABLE seen (what TEXT);
    CREATE TRIGGER orders_seen AFTER DELETE ON orders BEGIN INSERT INTO seen VALUES ('gone ' || old.id); END;
    CREATE TRIGGER users_seen AFTER UPDATE ON users BEGIN INSERT INTO seen VALUES ('changed ' || old.id); END;
"""
FILL = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO users (id, email, score, photo, any) SELECT i, 'user' || i || '@example.com', i / 7.0, randomblob(i % 40),
            CASE i % 6 WHEN 0 THEN NULL WHEN 1 THEN i WHEN 2 THEN i * 0.1 WHEN 3 THEN 't' || i WHEN 4 THEN x'00ff' ELSE '' END FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO orders (user, total) SELECT i % 300 + 1, i / 3.0 FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
        INSERT INTO pairs SELECT 'k' || (i % 20), i, zeroblob(i % 5) FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
        INSERT INTO bag SELECT i % 40, 'line ' || (i % 40) FROM n;
    INSERT INTO "odd ""name'" VALUES ('it''s', 1), (char(10) || '"', 2), ('', 3);
    DELETE FROM orders WHERE id > 480; DELETE FROM seen;
"""
# Every value with its type, bit by bit, in an order that does not depend on where the rows are.
DUMPS = {
    "users": "SELECT id, hex(email), visits, typeof(score), printf('%!.20g', score), hex(photo), typeof(any), quote(any), shown"
             " FROM users ORDER BY id",
    "orders": "SELECT id, user, typeof(total), printf('%!.20g', total) FROM orders ORDER BY id",
    "pairs": "SELECT a, b, typeof(v), hex(v) FROM pairs ORDER BY a, b",
    "bag": "SELECT typeof(at), quote(at), quote(text) FROM bag ORDER BY 2, 3, 1",
    "odd \"name'": 'SELECT hex("a column"), "x;y" FROM "odd ""name\'" ORDER BY 1',
}


class Closed:
    """Nobody has the database open: each statement by a shell of its own."""

    def __init__(self, name):
        self.name = name

    def sql(self, text):
        unspill().run("shell", self.name, "-e", text)

    def rows(self, text):
        done = unspill().run("query", self.name, "--format", "json", text).stdout
        return [tuple(row.values()) for row in json.loads(done)] if done.strip() else []

    def end(self):
        pass


class Open:
    """A program has it open, in two connections."""

    def __init__(self, name, mode):
        path = os.path.join(sandbox("home"), name, "shop.db")
        self.process = subprocess.Popen(["/usr/bin/python3", PROGRAM, EXTENSION, f"file:{path}?vfs=unspill"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", cwd="/")
        self.ask(0, f"PRAGMA journal_mode = {mode}")
        self.ask(1, "SELECT count(*) FROM users")

    def ask(self, connection, text):
        self.process.stdin.write(json.dumps([connection, text]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the program is gone"}')
        if isinstance(answer, dict):
            raise Failed(f"{text}: {answer['error']}")
        return answer

    def sql(self, text):
        for statement in split(text):
            self.ask(0, statement)

    def rows(self, text):
        return [tuple(row) for row in self.ask(1, text)]

    def end(self):
        self.process.stdin.close()
        check(self.process.wait(60) == 0, "the program ends")
        self.process.stdout.close()


def split(text):
    """Whole statements, as SQLite sees them."""
    piece = ""
    for part in text.split(";"):
        piece += part + ";"
        if sqlite3.complete_statement(piece):
            if piece.strip(" \n;"):
                yield piece.strip()
            piece = ""


def moment():
    time.sleep(0.002)
    now = iso(now_us())
    time.sleep(0.002)
    return now


def dump(shop, *tables):
    return [shop.rows(DUMPS[table]) for table in tables or DUMPS]


def repaired(*words):
    return unspill().json("repair", "shop", *words, "--yes")


def refused(words, *args):
    done = unspill().run(*args, check=False)
    # Others are steps that were done.
    said = [line for line in done.stderr.splitlines() if line.startswith("unspill: ")]
    check(done.returncode != 0 and len(said) == 1 and words in said[0], f"{args}: {done.stdout}{done.stderr}")


def each(shop):
    """Everything that repair does, whoever has the volume."""
    whole = dump(shop)
    before = moment()
    shop.sql("""
        UPDATE users SET email = 'oops' || id, score = -1, any = x'01' WHERE id % 10 = 0;
        DELETE FROM users WHERE id > 2900; INSERT INTO users (id, email) VALUES (9001, 'spam');
        DELETE FROM pairs WHERE b % 3 = 0; UPDATE pairs SET v = 1.5 WHERE b % 3 = 1; INSERT INTO pairs VALUES ('new', 1, NULL);
        DELETE FROM bag WHERE at = 7; INSERT INTO bag VALUES (1, 'line 1'), (NULL, NULL); UPDATE bag SET at = '5' WHERE at = 5;
        UPDATE "odd ""name'" SET "x;y" = 10 WHERE "a column" = 'it''s'; DELETE FROM "odd ""name'" WHERE "a column" = '';
    """)
    after = moment()
    shop.sql("UPDATE users SET visits = visits + 1 WHERE id <= 20; INSERT INTO users (id, email) VALUES (9002, 'good');"
             "UPDATE users SET email = 'mine' WHERE id = 110")
    seen = {table["name"]: table for table in unspill().json("diff", "shop", "--from", before, "--to", after)["tables"]}
    check(set(seen) == {"users", "pairs", "bag", "odd \"name'", "seen"}, f"{seen}")
    check([seen["users"][what] for what in ("added", "removed", "changed")] == [1, 100, 290], f"{seen['users']}")
    out = unspill().run("diff", "shop", "--table", "users", "--from", before, "--to", after, "--limit", "1").stdout
    check("~ id=10, email 'user10@example.com' -> 'oops10'" in out and "score 1.4285714285714286 -> -1.0" in out, out)
    held = dump(shop)
    out = unspill().run("repair", "shop", "--table", "users", "--to", before, "--until", after, "--dry-run").stdout
    check("100 rows inserted, 287 updated, 1 deleted" in out and "conflicts    3 rows" in out and 'UPDATE OR ABORT "main"."users"' in out, out)
    check(dump(shop) == held, "--dry-run changes nothing")
    seen_before = shop.rows("SELECT count(*) FROM seen")
    report = repaired("--table", "users", "--to", before, "--until", after)
    check([report[what] for what in ("inserted", "updated", "deleted", "conflicts")] == [100, 287, 1, 3], f"{report}")
    check(shop.rows("SELECT count(*) FROM seen") == seen_before, "no trigger fired")
    check(shop.rows("SELECT count(*), sum(visits), sum(email = 'good'), sum(id = 9001) FROM users") == [(3001, 20, 1, 0)], "the good writes")
    check(shop.rows("SELECT email FROM users WHERE id = 110") == [("mine",)], "a conflict is left")
    repaired("--table", "users", "--to", before, "--until", after, "--on-conflict", "force")
    shop.sql("UPDATE users SET visits = 0; DELETE FROM users WHERE id = 9002")
    for table in ("pairs", "bag", "odd \"name'"):
        repaired("--table", table, "--to", before, "--until", after)
    now = dump(shop)
    for table, was, is_now in zip(DUMPS, whole, now):
        check(was == is_now, f"{table}: {[row for row in is_now if row not in was][:3]} for {[row for row in was if row not in is_now][:3]}")
    # The repair is on the tape like everything else.
    unspill().run("backtrack", "shop", "--to", f"lsn:{report['undo_lsn']}", "--yes")
    check(shop.rows("SELECT count(*) FROM users WHERE email LIKE 'oops%'") == [(289,)], "a repair can be undone")
    back = unspill().json("backtracks", "shop")["backtracks"][-1]
    unspill().run("backtrack", "shop", "--to", f"lsn:{back['from']['lsn']}", "--yes")
    check(dump(shop) == whole, "and that, too")
    text = unspill().run("backtracks", "shop").stdout
    check("server" not in text and "settle" in text, text)
    gone(shop)


def gone(shop):
    """A table that was dropped."""
    whole, schema = dump(shop), shop.rows("SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = 'orders' ORDER BY 1, 2")
    before = moment()
    shop.sql("DROP TABLE orders")
    out = unspill().run("diff", "shop", "--from", before).stdout
    check("main.orders: the table was dropped" in out, out)
    report = repaired("--table", "orders", "--to", before)
    check(report["whole"] and report["rows"] == 480, f"{report}")
    check(dump(shop) == whole, "its rows are back")
    check(shop.rows("SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = 'orders' ORDER BY 1, 2") == schema, "and what belongs to it")
    check(shop.rows("SELECT seq FROM sqlite_sequence WHERE name = 'orders'") == [(500,)], "the next number")
    check(shop.rows("PRAGMA integrity_check") == [("ok",)], "whole")
    check(shop.rows("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'unspill%'") == [(0,)], "nothing is left over")


def found(shop):
    start = moment()
    for i in range(8):
        shop.sql(f"UPDATE orders SET total = {i} WHERE id = {i + 1}")
    at = moment()
    shop.sql("UPDATE orders SET total = -77 WHERE id = 9")
    then = moment()
    for i in range(8):
        shop.sql(f"UPDATE orders SET total = {i} WHERE id = {i + 20}")
    answer = unspill().json("find", "shop", "--table", "orders", "total = -77", "--since", start)
    times = [iso(answer[end]["time_us"]) for end in ("before", "at")]
    check(at <= times[1] <= then, f"{answer}: not between {at} and {then}")
    shop.sql("UPDATE orders SET total = 9 WHERE id = 9")
    refused("no such column: nowhere", "find", "shop", "--table", "orders", "nowhere = 1", "--since", start)


def nobody_has_it_open():
    if not run(["sh", "-c", "command -v sqlite3"], check=False).stdout:
        raise Skip("sqlite3 is not installed")
    unspill().run("create", "shop", "--engine", "sqlite")
    shop = Closed("shop")
    shop.sql(SCHEMA + FILL)
    each(shop)
    found(shop)


def a_program_has_it_open():
    for mode in ("wal", "delete"):
        shop = Open("shop", mode)
        each(shop)
        found(shop)
        shop.end()
    check(not os.listdir(os.path.join(sandbox("home"), "shop", "scratch")), "the clones are gone")


def a_repair_waits_for_a_writer_and_writers_for_it():
    shop = Open("shop", "wal")
    before = moment()
    shop.sql("UPDATE users SET score = 0 WHERE id < 100; BEGIN IMMEDIATE; INSERT INTO seen VALUES ('half')")
    going = unspill().start("repair", "shop", "--table", "users", "--to", before, "--yes", stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    check(going.poll() is None, "it waits")
    shop.sql("COMMIT")
    check(going.wait(60) == 0, "it goes on when the transaction has ended")
    check(shop.rows("SELECT count(*) FROM users WHERE score = 0") == [(0,)], "and is done")
    shop.end()


def a_repair_as_a_file():
    shop = Closed("shop")
    whole = dump(shop)
    before = moment()
    shop.sql("UPDATE users SET score = score + 1, any = 'x' WHERE id % 3 = 0; DELETE FROM users WHERE id % 50 = 1; DELETE FROM bag")
    for table in ("users", "bag"):
        path = sandbox(f"patch-{table}.sql")
        unspill().run("repair", "shop", "--table", table, "--to", before, "--sql", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        check("unspill_" not in text, "plain SQL")
        unspill().run("shell", "shop", text=text)
    shop.sql("DROP TABLE orders")
    unspill().run("repair", "shop", "--table", "orders", "--to", before, "--sql", sandbox("patch.sql"))
    with open(sandbox("patch.sql"), encoding="utf-8") as file:
        unspill().run("shell", "shop", text=file.read())
    check(dump(shop) == whole, "any SQLite makes the same of it")
    check(shop.rows("SELECT seq FROM sqlite_sequence WHERE name = 'orders'") == [(500,)], "the next number")


def what_cannot_be_is_refused():
    now = moment()
    refused("there is no table 'nothing'", "repair", "shop", "--table", "nothing", "--to", now, "--yes")
    refused("no such column: nowhere", "repair", "shop", "--table", "users", "--to", now, "--where", "nowhere = 1", "--yes")
    shop = Closed("shop")
    shop.sql("ALTER TABLE bag ADD COLUMN more")
    refused("the table is not the one it was", "repair", "shop", "--table", "bag", "--to", now, "--yes")
    out = unspill().run("diff", "shop", "--from", now, "--table", "bag").stdout
    check("+ CREATE TABLE bag" in out, out)
    shop.sql("ALTER TABLE bag DROP COLUMN more")


def a_unique_value_that_somebody_else_took_is_a_conflict_whatever_the_table_says():
    shop = Closed("shop")
    for clause in ("", "ON CONFLICT REPLACE", "ON CONFLICT IGNORE", "ON CONFLICT ROLLBACK", "ON CONFLICT FAIL"):
        shop.sql(f"CREATE TABLE taken (id INTEGER PRIMARY KEY, email TEXT UNIQUE {clause});"
                 "INSERT INTO taken VALUES (1, 'a1'), (2, 'a2'), (3, 'a3'), (4, 'a4')")
        before = moment()
        shop.sql("DELETE FROM taken WHERE id < 3; UPDATE taken SET email = 'oops' WHERE id = 4")
        after = moment()
        shop.sql("INSERT INTO taken VALUES (9, 'a2'), (8, 'a4')")
        report = repaired("--table", "taken", "--to", before, "--until", after)
        check([report[what] for what in ("inserted", "updated", "conflicts")] == [1, 0, 2], f"{clause}: {report}")
        found = shop.rows("SELECT id, email FROM taken ORDER BY id")
        check(found == [(1, "a1"), (3, "a3"), (4, "oops"), (8, "a4"), (9, "a2")], f"{clause}: {found}")
        shop.sql("DROP TABLE taken")


def a_clone_is_a_database_of_its_own():
    shop = Closed("shop")
    unspill().run("mark", "shop", "clean")
    shop.sql("DELETE FROM users WHERE id > 10")
    made = unspill().json("clone", "shop", "copy", "--at", "mark:clean")
    check(not made["running"] and made["parent"] == "shop", f"{made}")
    unspill().run("clone", "shop", "thin", "--thin")
    copy, thin = Closed("copy"), Closed("thin")
    check(copy.rows("SELECT count(*) FROM users") == [(3000,)] and thin.rows("SELECT count(*) FROM users") == [(10,)], "as of then, as of now")
    copy.sql("DELETE FROM orders")
    shop.sql("DELETE FROM pairs")
    check(shop.rows("SELECT count(*) FROM orders") == [(480,)] and copy.rows("SELECT count(*) FROM pairs") == [(400,)], "writes are their own")
    # To before it was made, and its own rows back.
    check(unspill().json("diff", "copy", "--from", "mark:clean")["tables"][0]["removed"] == 480, "the past came along")
    unspill().run("repair", "copy", "--table", "orders", "--to", "mark:clean", "--yes")
    check(copy.rows("SELECT count(*) FROM orders") == [(480,)], "repaired")
    refused("thin", "delete", "shop", "--yes")
    refused("exists already", "clone", "shop", "copy")
    refused("--port says nothing", "clone", "shop", "other", "--port", "5000")
    program = Open("shop", "wal")
    unspill().run("clone", "shop", "third")
    program.sql("DELETE FROM bag")
    check(Closed("third").rows("SELECT count(*) FROM bag") == [(300,)], "made while a program writes")
    program.end()
    for name in ("third", "thin", "copy"):
        check(not unspill().json("verify", name)["damage"], f"{name} is whole")
        unspill().run("delete", name, "--yes")
    unspill().run("delete", "shop", "--yes")
    check(not os.listdir(sandbox("home")), "all gone")


main(
    nobody_has_it_open,
    a_program_has_it_open,
    a_repair_waits_for_a_writer_and_writers_for_it,
    a_repair_as_a_file,
    what_cannot_be_is_refused,
    a_unique_value_that_somebody_else_took_is_a_conflict_whatever_the_table_says,
    a_clone_is_a_database_of_its_own,
)
