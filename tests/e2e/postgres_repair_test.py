#!/usr/bin/env python3
"""
diff, find and repair of a PostgreSQL cluster on a volume; repair_test.py tells the same story of MariaDB.
"""
import json
import os
import subprocess
import threading
import time

from harness import Failed, PostgresCluster, Skip, check, iso, main, note, now_us, run, sandbox, server_options, unspill, wait_for
from writers import beside_writers

shop = None


class Shop(PostgresCluster):
    """In the database "shop" if nothing else is said."""

    database = "shop"

    def client(self, *more):
        return [f"--dbname={self.database}" if word == "--dbname=postgres" else word for word in super().client(*more)]

    def sql_in(self, database, statements):
        self.database, before = database, self.database
        try:
            return self.sql(statements)
        finally:
            self.database = before


def moment():
    """After everything that was committed up to now, and before everything later."""
    time.sleep(0.01)  # a moment is a time: two in the same microsecond would be one
    now = iso(now_us())
    time.sleep(0.01)
    return now


def rows(statement):
    return shop.sql(statement)


def fingerprint(*tables):
    return [rows(f"SELECT md5(string_agg(t::text, '#' ORDER BY t::text COLLATE \"C\")) FROM {table} t") for table in tables or ["users"]]


def repair(*words):
    return shop.run("repair", *words)


def repaired(*words):
    return shop.json("repair", *words, "--yes")


def fails(words, *texts, code=None):
    done = shop.run(*words, check=False)
    check(done.returncode != 0, f"{words} worked: {done.stdout}")
    check(len(done.stderr.strip().splitlines()) == 1, f"{words}: {done.stderr!r}")
    for text in texts:
        check(text in done.stderr, f"{words}: {text!r} is not in {done.stderr!r}")
    if code:
        check(done.returncode == code, f"{words}: {done.returncode}")


def a_shop_with_users_and_orders():
    global shop
    try:
        shop = unspill().create("shop", *server_options("shared_buffers=16MB", "max_wal_size=64MB"), engine="postgresql")
    except Failed as error:
        if "there is no 'postgres' here" in str(error):
            raise Skip("PostgreSQL is not installed: Debian's postgresql-15") from error
        raise
    shop.__class__ = Shop
    shop.sql_in("postgres", "CREATE DATABASE shop")
    shop.sql("""
        CREATE TABLE users (id serial PRIMARY KEY, email varchar(80) NOT NULL UNIQUE, visits int NOT NULL DEFAULT 0,
            seen timestamptz NOT NULL DEFAULT now());
        CREATE TABLE orders (id int PRIMARY KEY, "user" int NOT NULL REFERENCES users, total numeric(10,2));
        CREATE TABLE log (at int, text varchar(50));
        INSERT INTO users (email, seen) SELECT 'user' || i || '@example.com', '2026-01-01 00:00:00+00' FROM generate_series(1, 20000) i;
        INSERT INTO orders SELECT i, i % 20000 + 1, i / 7.0 FROM generate_series(1, 5000) i;
        INSERT INTO log SELECT i % 50, 'line ' || i % 50 FROM generate_series(1, 500) i;
        ANALYZE;
    """)


def what_a_mistake_did_is_seen_and_put_back_and_good_writes_stay():
    before = moment()
    shop.sql("UPDATE users SET email = 'oops' || id WHERE id % 10 = 0; DELETE FROM users WHERE id > 19000"
             " AND id NOT IN (SELECT \"user\" FROM orders); INSERT INTO users (id, email) VALUES (90001, 'spam');")
    after = moment()
    shop.sql("UPDATE users SET visits = visits + 1 WHERE id <= 100; INSERT INTO users (email) VALUES ('new@example.com');"
             "UPDATE users SET email = 'mine@example.com' WHERE id = 110;")
    pids = "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND query LIKE '%kept%' AND pid <> pg_backend_pid()"
    # pylint: disable=consider-using-with
    kept = subprocess.Popen(shop.client("-c", "SELECT 'kept', pg_sleep(300)"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    wait_for(lambda: rows(pids)[0][0] != "NULL", 30, "a client that stays")
    connections = rows(pids)

    seen = shop.json("diff", "--from", before, "--to", after)
    check([(table["schema"], table["name"]) for table in seen["tables"]] == [("shop.public", "users")], seen)
    users = seen["tables"][0]
    check((users["added"], users["removed"], users["changed"]) == (1, 1000, 1900), users)
    out = shop.run("diff", "--table", "users", "--from", before, "--to", after, "--limit", "2").stdout
    # In the key's own order, not in that of its text.
    check("~ id=10, email 'user10@example.com' -> 'oops10'" in out and "~ id=20," in out and "2 of them are shown" in out, out)

    held = fingerprint()
    out = repair("--table", "users", "--to", before, "--until", after, "--dry-run").stdout
    check("1,000 rows inserted, 1,889 updated, 1 deleted" in out, out)
    check("conflicts    11 rows" in out and "id=110" in out and "changed again since" in out, out)
    check('UPDATE "public"."users" SET' in out, out)
    check(fingerprint() == held, "--dry-run changed something")

    report = repaired("--table", "shop.public.users", "--to", before, "--until", after)
    check((report["inserted"], report["updated"], report["deleted"], report["conflicts"]) == (1000, 1889, 1, 11), report)
    check(report["table"] == "shop.public.users", report)
    counts = "SELECT count(*), count(*) FILTER (WHERE email LIKE 'oops%'), sum(visits), count(*) FILTER (WHERE email = 'new@example.com')," \
             " count(*) FILTER (WHERE id = 90001), count(*) FILTER (WHERE seen = '2026-01-01 00:00:00+00') FROM users"
    check(rows(counts) == [["20001", "10", "100", "1", "0", "20000"]], rows(counts))
    check(rows("SELECT email FROM users WHERE id = 110") == [["mine@example.com"]], "110")
    check(connections == rows(pids), "somebody was disconnected")
    shop.sql(f"SELECT pg_terminate_backend({connections[0][0]})")
    kept.wait(30)

    # Only the column: what was written beside it stays.
    report = repaired("--table", "users", "--to", before, "--until", after, "--columns", "email")
    check((report["updated"], report["conflicts"], report["already"]) == (10, 1, 1889), report)
    check(rows(counts)[0][1:3] == ["0", "100"], "visits")

    # A repair is on the tape like everything else.
    shop.backtrack(f"lsn:{report['undo_lsn']}")
    check(rows(counts)[0][1] == "10", "the repair was not undone")
    back = shop.json("backtracks")["backtracks"][-1]
    shop.backtrack(f"lsn:{back['from']['lsn']}")
    check(rows(counts)[0][1] == "0", "forward again")


def the_moment_of_a_mistake_is_found():
    start = moment()
    for i in range(10):
        shop.sql(f"UPDATE orders SET total = {i} WHERE id = {i + 1}")
    before = now_us()
    shop.sql("UPDATE orders SET total = -1 WHERE id = 77")
    after = now_us()
    for i in range(10):
        shop.sql(f"UPDATE orders SET total = {i} WHERE id = {i + 101}")
    began = time.monotonic()
    found = shop.json("find", "total < 0", "--table", "orders", "--since", start)
    note(f"{found['probes']} moments, {time.monotonic() - began:.1f} s")
    check(before - 1000 <= found["at"]["time_us"] <= after + 1000, f"{before} {found} {after}")
    check(found["before"]["lsn"] < found["at"]["lsn"], found)
    report = repaired("--table", "orders", "--to", f"lsn:{found['before']['lsn']}", "--until", f"lsn:{found['at']['lsn']}")
    check(report["updated"] == 1, report)
    check(rows("SELECT count(*) FROM orders WHERE total < 0") == [["0"]], "still there")
    fails(["find", "total < 0", "--table", "orders", "--since", start], "not true at the end")
    fails(["find", "id = 5", "--table", "orders", "--since", start], "already true")
    fails(["find", "total < (", "--table", "orders", "--since", start], "syntax")
    fails(["find", "id = 5", "--table", "nothing", "--since", start], "no table 'nothing'", code=3)


def a_question_to_the_past_is_answered():
    before = moment()
    shop.sql_in("postgres", "CREATE TABLE here (id int); INSERT INTO here VALUES (1), (2)")
    middle = moment()
    shop.sql_in("postgres", "DELETE FROM here")
    out = shop.run("query", "--at", middle, "SELECT count(*) FROM here", "--format", "csv").stdout
    check(out.split() == ["count", "2"], out)
    counted = [shop.run("query", "--at", middle, "--database", "shop", *format, "SELECT count(*) FROM users").stdout.split()
               for format in ([], ["--format", "csv"])]
    check("20001" in counted[0] and counted[1] == ["count", "20001"], counted)
    fails(["query", "--at", middle, "--database", "nothing", "--format", "csv", "SELECT 1"], 'database "nothing" does not exist', code=3)
    done = shop.run("query", "--at", before, "SELECT count(*) FROM here", check=False)
    check(done.returncode != 0 and 'relation "here" does not exist' in done.stderr, done.stderr)
    shop.sql_in("postgres", "DROP TABLE here")


def a_table_that_was_dropped_or_truncated_comes_back():
    shop.sql("""
        CREATE TABLE audit (n serial PRIMARY KEY, id int);
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.audit (id) VALUES (NEW.id); RETURN NEW; END';
        CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION noted();
        CREATE ROLE clerk; GRANT SELECT ON orders TO clerk; COMMENT ON TABLE orders IS 'who bought what';
        CREATE INDEX by_total ON orders (total DESC) WHERE total > 1; ALTER TABLE orders ADD CHECK (id > 0);""")
    before = moment()
    held, made = fingerprint("orders", "log", "users"), shop.run("diff", "--from", before).stdout
    check("Nothing differs" in made, made)
    shop.sql("DROP TABLE users CASCADE; DROP TABLE orders; TRUNCATE log;")
    after = moment()
    shop.sql("INSERT INTO log VALUES (1000, 'good');")
    out = shop.run("diff", "--from", before).stdout
    check("shop.public.orders: the table was dropped" in out and "shop.public.users: the table was dropped" in out, out)
    # A child that refers to nothing does not come back, and nothing is left of it.
    fails(["repair", "--table", "orders", "--to", before, "--yes"], '"public.users" does not exist')
    check(rows("SELECT count(*) FROM pg_class WHERE relname LIKE 'orders%'") == [["0"]], "half a table")
    out = repair("--table", "users", "--to", before, "--yes").stdout
    check("comes back whole" in out and "20,001 rows" in out, out)
    out = repair("--table", "orders", "--to", before, "--yes").stdout
    check("comes back whole" in out and "5,000 rows" in out, out)
    report = repaired("--table", "log", "--to", before, "--until", after)
    check(report["inserted"] == 500, report)
    check(rows("SELECT count(*) FROM log WHERE at = 1000") == [["1"]], "the good write is lost")
    shop.sql("DELETE FROM log WHERE at = 1000")
    check(fingerprint("orders", "log", "users") == held, "the tables are not what they were")
    out = shop.run("diff", "--from", before).stdout
    check("Nothing differs" in out, out)
    check(rows("SELECT count(*) FROM audit") == [["0"]], "the trigger fired for rows of the past")
    shop.sql("INSERT INTO users (email) VALUES ('another'); INSERT INTO orders VALUES (6000, 1, 1)")
    check(rows("SELECT id FROM audit") == [["6000"]], "the trigger is gone")
    check(rows("SELECT has_table_privilege('clerk', 'orders', 'SELECT')") == [["t"]], "the grant is gone")


def automatic_numbers_go_on_where_they_were():
    shop.sql("CREATE TABLE ticket (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text); INSERT INTO ticket (v) SELECT 'x' FROM generate_series(1, 50)")
    before = moment()
    shop.sql("TRUNCATE ticket RESTART IDENTITY")
    report = repaired("--table", "ticket", "--to", before)
    check(report["inserted"] == 50, report)
    # A crash, as each moment is one, has a sequence skip some.
    check(int(rows("INSERT INTO ticket (v) VALUES ('y') RETURNING id")[0][0]) > 50, "a number was given twice")
    shop.sql("TRUNCATE ticket RESTART IDENTITY")
    path = sandbox("ticket.sql")
    repair("--table", "ticket", "--to", before, "--sql", path)
    with open(path, encoding="utf-8") as file:
        shop.sql(file.read())
    check(int(rows("INSERT INTO ticket (v) VALUES ('y') RETURNING id")[0][0]) > 50, "the patch does not set it")


def a_patch_is_written_for_review():
    before = moment()
    shop.sql("UPDATE users SET email = 'x' || email WHERE id < 50")
    held, path = fingerprint(), sandbox("patch.sql")
    repair("--table", "users", "--to", before, "--columns", "email", "--sql", path)
    check(fingerprint() == held, "--sql changed something")
    fails(["repair", "--table", "users", "--to", before, "--sql", path], "patch.sql", code=8)
    with open(path, encoding="utf-8") as file:
        shop.sql(file.read())
    check(rows("SELECT count(*) FROM users WHERE email LIKE 'xuser%'") == [["0"]], "the patch does not mend it")


def what_is_wrong_is_said_and_nothing_is_changed():
    before = moment()
    shop.sql("CREATE TABLE late (id int PRIMARY KEY)")
    middle = moment()
    shop.sql("ALTER TABLE users ADD COLUMN nick varchar(10), ALTER visits TYPE bigint;"
             "UPDATE users SET email = 'y' || email WHERE id < 20;"
             "CREATE SCHEMA other; CREATE TABLE other.users (id int PRIMARY KEY);")
    shop.sql_in("postgres", "CREATE TABLE users (id int PRIMARY KEY)")
    held = fingerprint("users", "late")
    fails(["repair", "--table", "late", "--to", before, "--yes"], "no table 'late'", code=3)
    fails(["repair", "--table", "users", "--to", middle, "--until", middle, "--yes"], "visits: integer", "nick: not there then",
          "--columns 'id,email,seen'")
    fails(["repair", "--table", "users", "--to", before, "--columns", "visits", "--yes"], "visits")
    fails(["repair", "--table", "users", "--to", before, "--columns", "nothing", "--yes"], "nothing")
    fails(["repair", "--table", "users", "--to", before, "--where", "id = ", "--columns", "email", "--yes"], "syntax")
    fails(["repair", "--table", "users", "--to", before], "--yes", code=2)
    fails(["repair", "--table", "users", "--to", "2001-01-01", "--yes"], "the earliest moment is", code=4)
    fails(["diff", "--table", "users", "--from", before], "shop.public.users", "shop.other.users", "postgres.public.users", code=2)
    fails(["diff", "--table", "shop.users", "--from", before], "shop.public.users", "shop.other.users", code=2)
    check(fingerprint("users", "late") == held, "something was changed")
    report = repaired("--table", "shop.public.users", "--to", middle, "--columns", "email")
    check(report["updated"] == 19, report)
    report = repaired("--table", "public.late", "--to", middle)
    check(report["updated"] + report["inserted"] + report["deleted"] == 0, report)
    out = shop.run("diff", "--from", before).stdout
    check("+ column nick character varying(10)" in out and "shop.public.late: the table was created" in out, out)
    shop.sql("DROP TABLE other.users")
    shop.sql_in("postgres", "DROP TABLE users")


def who_is_not_let_in_or_may_not_is_told_in_one_line():
    before = moment()
    shop.sql("CREATE ROLE other SUPERUSER LOGIN PASSWORD 'x'; UPDATE log SET text = 'oops' WHERE at = 1")
    held = fingerprint("log")
    shop.sql("ALTER ROLE postgres NOSUPERUSER; ")
    fails(["repair", "--table", "log", "--to", before, "--yes"], "permission denied")
    env = dict(os.environ, PGPASSWORD="x", PGUSER="other")

    def as_other(statement):
        run([word for word in shop.client("-c", statement) if word != "--username=postgres"], env=env)
    as_other("ALTER ROLE postgres SUPERUSER NOLOGIN")
    fails(["repair", "--table", "log", "--to", before, "--yes"], 'role "postgres" is not permitted to log in')
    as_other("ALTER ROLE postgres LOGIN")
    check(fingerprint("log") == held, "something was changed")
    check(repaired("--table", "log", "--to", before)["inserted"] == 10, "the rows")


def a_name_with_quotes_and_newlines_is_a_name():
    database, schema, table = "a'b\"c.d", "S.\n\"q\"", "t`?\n\"'x$1"
    there = '"' + schema.replace('"', '""') + '"."' + table.replace('"', '""') + '"'
    shop.sql_in("postgres", "CREATE DATABASE \"" + database.replace('"', '""') + '"')
    shop.sql_in(f"dbname='{database}'".replace("'a'b", "'a\\'b"), f"""
        CREATE SCHEMA "{schema.replace('"', '""')}"; CREATE TABLE {there} ("k?""\n" varchar(20) PRIMARY KEY, "v'$1" text);
        INSERT INTO {there} VALUES ('a''b', 'one'), (E'c"\\nd', 'two');""")
    before = moment()
    inside = f"dbname='{database}'".replace("'a'b", "'a\\'b")
    shop.sql_in(inside, f"UPDATE {there} SET \"v'$1\" = 'oops'; DELETE FROM {there} WHERE \"k?\"\"\n\" LIKE 'c%';")
    report = repaired("--table", f"{database}.{schema}.{table}", "--to", before)
    check((report["updated"], report["inserted"]) == (1, 1), report)
    check(shop.sql_in(inside, f"SELECT count(*) FROM {there} WHERE \"v'$1\" IN ('one', 'two')") == [["2"]], "rows")
    shop.sql_in(inside, f"DROP TABLE {there}")
    report = repaired("--table", table, "--to", before)
    check(report["whole"] and report["rows"] == 2, report)
    check(shop.sql_in(inside, f"SELECT count(*) FROM {there} WHERE \"v'$1\" IN ('one', 'two')") == [["2"]], "rows")


def a_repair_goes_on_beside_writers_and_loses_none_of_their_writes():
    shop.sql("CREATE TABLE stock (id int PRIMARY KEY, n int NOT NULL, spoiled int NOT NULL); INSERT INTO stock SELECT i, 0, 0 FROM generate_series(1, 3000) i;")
    before = moment()
    shop.sql("UPDATE stock SET spoiled = 1")
    after = moment()

    def write(numbers):
        shop.sql(f"UPDATE stock SET n = n + 1 WHERE id IN (SELECT id FROM stock WHERE id IN ({numbers}) ORDER BY id FOR UPDATE)")

    report, written = beside_writers(write, lambda: repaired("--table", "stock", "--to", before, "--until", after, "--chunked"))
    found = rows("SELECT sum(n), sum(spoiled) FROM stock")[0]
    check(int(found[0]) == written, f"{found}, {written}: writes were lost")
    check(int(found[1]) == report["conflicts"], f"{found} {report}")
    check(report["updated"] + report["conflicts"] == 3000 and report["updated"] > 0, report)
    report = repaired("--table", "stock", "--to", before, "--until", after, "--columns", "spoiled")
    check(rows("SELECT sum(n), sum(spoiled) FROM stock")[0] == [found[0], "0"], report)


def a_chunk_that_the_server_gives_up_for_another_client_is_tried_again():
    shop.sql("CREATE TABLE part (id int PRIMARY KEY, n int NOT NULL, spoiled int NOT NULL); INSERT INTO part SELECT i, 0, 0 FROM generate_series(1, 300) i;"
             "ALTER DATABASE shop SET deadlock_timeout = '5s'")
    before = moment()
    shop.sql("UPDATE part SET spoiled = 1")
    after = moment()
    # It has a row of the first chunk; when that waits for it, it waits for a row that the chunk has.
    other = threading.Thread(target=shop.sql, args=(
        "BEGIN; SET deadlock_timeout = '1h'; UPDATE part SET n = 1 WHERE id = 200;"
        "DO $$BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted) LOOP PERFORM pg_sleep(0.01); END LOOP; END$$;"
        "UPDATE part SET n = 1 WHERE id = 1; COMMIT",))
    other.start()
    wait_for(lambda: rows("SELECT count(*) FROM pg_locks WHERE relation = 'part'::regclass AND mode = 'RowExclusiveLock'") != [["0"]], 60, "the other client")
    report = repaired("--table", "part", "--to", before, "--until", after, "--chunked")
    other.join()
    check((report["updated"], report["conflicts"]) == (298, 2), report)
    check(rows("SELECT sum(n), sum(spoiled), count(*) FROM part WHERE id IN (1, 200)") == [["2", "2", "2"]], "the other's rows")
    check(rows("SELECT sum(n), sum(spoiled) FROM part WHERE id NOT IN (1, 200)") == [["0", "0"]], "all others")
    shop.sql("ALTER DATABASE shop RESET deadlock_timeout")


def a_repair_in_chunks_that_was_killed_goes_on():
    shop.sql("CREATE TABLE item (id int PRIMARY KEY, v text); INSERT INTO item SELECT i, 'v' || i FROM generate_series(1, 3000) i;")
    before = moment()
    shop.sql("UPDATE item SET v = 'oops'")
    after = moment()
    # Somebody holds a row of the eighth chunk: it stops there until it is killed.
    words = shop.client("-q", "-c", "BEGIN", "-c", "SELECT 'held' FROM item WHERE id = 2000 FOR UPDATE", "-c", "SELECT pg_sleep(300)")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as holder:
        wait_for(lambda: rows("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()") == [["1"]], 30,
                 "the one that holds a row")
        command = [shop.unspill.binary, "repair", "shop", "--table", "item", "--to", before, "--until", after, "--chunked", "--yes"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=shop.unspill.env) as repairing:
            wait_for(lambda: rows("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE%'") == [["1"]], 60,
                     "the repair to come to it")
            repairing.kill()
        pid = rows("SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()")[0][0]
        shop.sql(f"SELECT pg_terminate_backend({pid})")
    wait_for(lambda: rows("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE%' AND pid <> pg_backend_pid()") == [["0"]], 30, "its session to end")
    done = int(rows("SELECT count(*) FROM item WHERE v <> 'oops'")[0][0])
    check(0 < done < 2000, f"{done} rows were put back before")
    report = repaired("--table", "item", "--to", before, "--until", after, "--chunked")
    check((report["already"], report["updated"], report["conflicts"]) == (done, 3000 - done, 0), (done, report))
    check(rows("SELECT count(*) FROM item WHERE v = 'v' || id") == [["3000"]], "rows")


def nothing_of_the_past_is_left_over():
    scratch = shop.path("scratch")
    check(not os.path.isdir(scratch) or not os.listdir(scratch), os.listdir(scratch) if os.path.isdir(scratch) else "")
    check(json.loads(shop.run("status", "--json").stdout)["state"] == "running", "state")
    shop.run("verify")


if __name__ == "__main__":
    main(
        a_shop_with_users_and_orders,
        what_a_mistake_did_is_seen_and_put_back_and_good_writes_stay,
        the_moment_of_a_mistake_is_found,
        a_question_to_the_past_is_answered,
        a_table_that_was_dropped_or_truncated_comes_back,
        automatic_numbers_go_on_where_they_were,
        a_patch_is_written_for_review,
        what_is_wrong_is_said_and_nothing_is_changed,
        who_is_not_let_in_or_may_not_is_told_in_one_line,
        a_name_with_quotes_and_newlines_is_a_name,
        a_repair_goes_on_beside_writers_and_loses_none_of_their_writes,
        a_chunk_that_the_server_gives_up_for_another_client_is_tried_again,
    a_repair_in_chunks_that_was_killed_goes_on,
        nothing_of_the_past_is_left_over,
    )
