#!/usr/bin/env python3
"""
Rows that differ are found by the pages that were written in between: never fewer than there are.

Tables are written at random, and their rows kept at some moments; what `diff` counts between two of these must be what the
kept rows say, while the throw-away servers have an open transaction to undo, purge to do, and pages to split and to merge.
"""
import random
import threading

from harness import LONG, SMALL_SERVER, check, main, note, run, server_options, unspill, wait_for

shop = None
kept = {}  # mark: {table: {key: row}}
TABLES = {
    "plain": ("id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(60), b INT, c DECIMAL(10,2), KEY (b)", 1),
    "wide": ("a SMALLINT NOT NULL, b BIGINT UNSIGNED NOT NULL, v TEXT, w LONGTEXT, PRIMARY KEY (a, b)", 2),
    "signed": ("id BIGINT NOT NULL PRIMARY KEY, pad CHAR(200), n INT", 1),
    "named": ("name VARCHAR(40) PRIMARY KEY, n INT", 1),
    "bag": ("n INT, v VARCHAR(20)", 2),
}


def keep(mark):
    shop.run("mark", mark)
    kept[mark] = {}
    for table, (_, keys) in TABLES.items():
        rows = {}
        for row in shop.sql(f"SELECT * FROM shop.{table}"):
            row = tuple(row)
            rows[row if table == "bag" else row[:keys]] = (row, rows.get(row, (0, 0))[1] + 1 if table == "bag" else 1)
        kept[mark][table] = rows


def expected(table, before, after):
    """(added, removed, changed)"""
    a, b = kept[before].get(table, {}), kept[after].get(table, {})
    return (len(set(b) - set(a)), len(set(a) - set(b)), sum(a[key] != b[key] for key in set(a) & set(b)))


def compare(before, after, by_pages=()):
    found = {table["name"]: table for table in shop.json("diff", "--from", f"mark:{before}", "--to", f"mark:{after}")["tables"]}
    for table in TABLES:
        wanted = expected(table, before, after)
        one = found.get(table, {"added": 0, "removed": 0, "changed": 0})
        check((one["added"], one["removed"], one["changed"]) == wanted, f"{table}, {before} to {after}: {one}, not {wanted}")
        if table in by_pages and sum(wanted):
            check(one["by_pages"], f"{table} was compared as a whole: {one}")
    note(f"{before} to {after}: " + ", ".join(f"{table} {expected(table, before, after)}" for table in TABLES))


def tables_of_many_pages():
    global shop
    shop = unspill().create("shop", *server_options(*SMALL_SERVER))
    shop.sql("CREATE DATABASE shop; USE shop;" + "".join(f"CREATE TABLE {name} ({columns});" for name, (columns, _) in TABLES.items()))
    shop.sql("""USE shop;
        INSERT INTO plain SELECT seq, REPEAT(CHAR(97 + seq % 26), seq % 60), seq % 97, seq / 7 FROM seq_1_to_20000;
        INSERT INTO wide SELECT CAST(seq % 50 AS SIGNED) - 25, 18446744073709551615 - seq, REPEAT('v', seq % 900), IF(seq % 40, NULL, REPEAT('w', 20000 + seq)) FROM seq_1_to_2000;
        INSERT INTO signed SELECT CAST(seq AS SIGNED) * 1000003 - 3000000000, IF(seq % 9, MD5(seq), NULL), seq FROM seq_1_to_6000;
        INSERT INTO named SELECT CONCAT('name', seq), seq FROM seq_1_to_3000;
        INSERT INTO bag SELECT seq % 40, 'x' FROM seq_1_to_400;
    """)
    keep("start")


def write_at_random():
    r = random
    n = r.randrange(1, 400)
    statements = [
        f"UPDATE plain SET b = b + 1 WHERE id % {n} = 0",
        f"UPDATE plain SET a = REPEAT('z', id % 60) WHERE id BETWEEN {n * 40} AND {n * 40 + 300}",
        f"UPDATE plain SET a = NULL WHERE id % {n + 60} = 3",
        f"DELETE FROM plain WHERE id BETWEEN {n * 47} AND {n * 47 + r.randrange(600)}",
        f"INSERT IGNORE INTO plain SELECT seq, 'new', 1, 1 FROM seq_{n * 45}_to_{n * 45 + 200}",
        f"UPDATE wide SET w = REPEAT('{r.choice('uvw')}', 20000 + b % 5) WHERE w IS NOT NULL AND b % {r.randrange(1, 9)} = 0",
        f"UPDATE wide SET v = CONCAT(v, 'x') WHERE a = {r.randrange(-25, 25)}",
        f"DELETE FROM wide WHERE b % {n} = 0",
        f"UPDATE signed SET id = id + 1 WHERE n % {n} = 1",
        f"UPDATE signed SET pad = NULL, n = n + 10000 WHERE n % {n + 20} = 1",
        f"REPLACE INTO named SELECT CONCAT('name', seq), {n} FROM seq_{n}_to_{n + 20}",
        f"UPDATE bag SET v = 'y' WHERE n = {n % 40}",
    ]
    shop.sql("USE shop; " + "".join(f"{statement};" for statement in r.sample(statements, r.randrange(1, 7))))


def what_is_counted_is_what_was_written():
    for number in range(8 if LONG else 3):
        for _ in range(random.randrange(1, 4)):
            write_at_random()
        keep(f"w{number}")
        compare("start" if number % 2 else f"w{number - 1}" if number else "start", f"w{number}", by_pages=("plain", "wide", "signed"))


def what_is_not_committed_is_no_difference():
    keep("before")

    def uncommitted():
        # It ends with an error: somebody kills its SLEEP.
        run(shop.client("-N", "-B"), check=False, text="USE shop; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION;"
            "UPDATE plain SET b = -1 WHERE id % 3 = 0; DELETE FROM signed WHERE n % 7 = 0; INSERT INTO wide VALUES (99, 99, 'gone', NULL);"
            "SELECT GET_LOCK('held', 1); SELECT SLEEP(60);")

    writer = threading.Thread(target=uncommitted, daemon=True)
    writer.start()
    wait_for(lambda: shop.value("SELECT IS_USED_LOCK('held') IS NOT NULL") == "1", 60, "the transaction")
    free = shop.value("SELECT MIN(id) FROM shop.plain WHERE id % 3 = 1")
    shop.sql(f"UPDATE shop.plain SET c = c + 1 WHERE id = {free}")
    keep("within")
    holder = shop.value("SELECT IS_USED_LOCK('held')")
    shop.sql(f"KILL QUERY {holder}")
    writer.join(60)
    check(not writer.is_alive(), "the transaction goes on")
    keep("after")
    compare("before", "within", by_pages=("plain",))
    compare("within", "after")


def a_table_that_was_made_anew_or_altered_is_compared_too():
    shop.sql("USE shop; UPDATE plain SET b = 5 WHERE id % 211 = 0; ALTER TABLE plain ADD COLUMN d INT DEFAULT 5, ALGORITHM=INSTANT;")
    keep("altered")
    shop.sql("USE shop; UPDATE plain SET d = 6 WHERE id % 503 = 0; UPDATE plain SET a = 'longer than it has been' WHERE id % 509 = 0;"
             "OPTIMIZE TABLE signed; UPDATE signed SET n = n + 1 WHERE n % 313 = 0;")
    keep("again")
    compare("altered", "again", by_pages=("plain",))
    shop.sql("USE shop; TRUNCATE named; INSERT INTO named VALUES ('name7', 7), ('other', 1);")
    keep("end")
    compare("again", "end")


def nothing_differs_where_nothing_was_written():
    out = shop.run("diff", "--from", "mark:end", "--to", "mark:end").stdout
    check("Nothing differs" in out, out)


main(
    tables_of_many_pages,
    what_is_counted_is_what_was_written,
    what_is_not_committed_is_no_difference,
    a_table_that_was_made_anew_or_altered_is_compared_too,
    nothing_differs_where_nothing_was_written,
)
