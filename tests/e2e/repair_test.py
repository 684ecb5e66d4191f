#!/usr/bin/env python3
"""
diff, find and repair on a volume: a shop that people spill, look at, and mend without going back.
"""
import json
import os
import time

from harness import SMALL_SERVER, check, iso, main, note, now_us, sandbox, server_options, unspill
from writers import beside_writers

shop = None
cli = None


def moment():
    """After everything that was committed up to now, and before everything later."""
    time.sleep(0.01)  # a moment is a time: two in the same microsecond would be one
    now = iso(now_us())
    time.sleep(0.01)
    return now


def rows(statement):
    return shop.sql(statement)


def fingerprint(tables="shop.users"):
    return shop.sql(f"CHECKSUM TABLE {tables}")


def repair(*words, check_it=True):
    return shop.run("repair", *words, check=check_it)


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
    global shop, cli
    cli = unspill()
    shop = cli.create("shop", *server_options(*SMALL_SERVER))
    shop.sql("""
        CREATE DATABASE shop; USE shop;
        CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(80) NOT NULL, visits INT NOT NULL DEFAULT 0,
            seen TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, UNIQUE KEY (email));
        CREATE TABLE orders (id INT PRIMARY KEY, user INT NOT NULL, total DECIMAL(10,2), FOREIGN KEY (user) REFERENCES users (id));
        CREATE TABLE log (at INT, text VARCHAR(50));
        INSERT INTO users (email, seen) SELECT CONCAT('user', seq, '@example.com'), '2026-01-01' FROM seq_1_to_20000;
        INSERT INTO orders SELECT seq, seq % 20000 + 1, seq / 7 FROM seq_1_to_5000;
        INSERT INTO log SELECT seq % 50, CONCAT('line ', seq % 50) FROM seq_1_to_500;
    """)


def what_a_mistake_did_is_seen_and_put_back_and_good_writes_stay():
    before = moment()
    shop.sql("USE shop; UPDATE users SET email = CONCAT('oops', id) WHERE id % 10 = 0; DELETE FROM users WHERE id > 19000"
             " AND id NOT IN (SELECT user FROM orders); INSERT INTO users (id, email) VALUES (90001, 'spam');")
    after = moment()
    shop.sql("USE shop; UPDATE users SET visits = visits + 1 WHERE id <= 100; INSERT INTO users (email) VALUES ('new@example.com');"
             "UPDATE users SET email = 'mine@example.com' WHERE id = 110;")
    shop.wait_running()
    connections = shop.value("SHOW STATUS LIKE 'Threads_connected'")

    seen = shop.json("diff", "--from", before, "--to", after)
    users = [table for table in seen["tables"] if table["name"] == "users"]
    check([table["name"] for table in seen["tables"]] == ["users"], seen)
    check((users[0]["added"], users[0]["removed"], users[0]["changed"]) == (1, 1000, 1900), users)
    out = shop.run("diff", "--table", "users", "--from", before, "--to", after, "--limit", "2").stdout
    check("~ id=10, email 'user10@example.com' -> 'oops10'" in out, out)
    check("2 of them are shown" in out, out)

    held = fingerprint()
    out = repair("--table", "users", "--to", before, "--until", after, "--dry-run").stdout
    check("1,000 rows inserted, 1,889 updated, 1 deleted" in out, out)
    check("conflicts    11 rows" in out and "id=110" in out and "changed again since" in out, out)
    check("UPDATE `shop`.`users` SET" in out, out)
    check(fingerprint() == held, "--dry-run changed something")

    report = repaired("--table", "shop.users", "--to", before, "--until", after)
    check((report["inserted"], report["updated"], report["deleted"], report["conflicts"]) == (1000, 1889, 1, 11), report)
    found = rows("SELECT COUNT(*), SUM(email LIKE 'oops%'), SUM(visits), SUM(email = 'new@example.com'),"
                 " SUM(id = 90001), SUM(seen = '2026-01-01 00:00:00') FROM shop.users")
    # The ten whose visits were counted since, and number 110, are as somebody left them.
    check(found == [["20001", "10", "100", "1", "0", "19899"]], found)
    check(rows("SELECT email FROM shop.users WHERE id = 110") == [["mine@example.com"]], "110")
    check(connections == shop.value("SHOW STATUS LIKE 'Threads_connected'"), "somebody was disconnected")

    # Only the column: what was written beside it stays.
    report = repaired("--table", "users", "--to", before, "--until", after, "--columns", "email")
    check((report["updated"], report["conflicts"], report["already"]) == (10, 1, 1889), report)
    check(rows("SELECT SUM(email LIKE 'oops%'), SUM(visits) FROM shop.users") == [["0", "100"]], "visits")

    # A repair is on the tape like everything else.
    shop.backtrack(f"lsn:{report['undo_lsn']}")
    check(rows("SELECT SUM(email LIKE 'oops%') FROM shop.users") == [["10"]], "the repair was not undone")
    back = shop.json("backtracks")["backtracks"][-1]
    shop.backtrack(f"lsn:{back['from']['lsn']}")
    check(rows("SELECT SUM(email LIKE 'oops%') FROM shop.users") == [["0"]], "forward again")


def the_moment_of_a_mistake_is_found():
    start = moment()
    for i in range(20):
        shop.sql(f"UPDATE shop.orders SET total = {i} WHERE id = {i + 1}")
    before = now_us()
    shop.sql("UPDATE shop.orders SET total = -1 WHERE id = 77")
    after = now_us()
    for i in range(20):
        shop.sql(f"UPDATE shop.orders SET total = {i} WHERE id = {i + 101}")
    began = time.monotonic()
    found = shop.json("find", "total < 0", "--table", "orders", "--since", start)
    note(f"{found['probes']} moments, {time.monotonic() - began:.1f} s")
    check(before - 1000 <= found["at"]["time_us"] <= after + 1000, f"{before} {found} {after}")
    check(found["before"]["lsn"] < found["at"]["lsn"], found)
    # A cluster that is younger than what is asked for is searched from its beginning.
    younger = shop.run("find", "total < 0", "--table", "orders", "--since", "30d", "--json")
    check("the search begins there" in younger.stderr and json.loads(younger.stdout)["at"] == found["at"], younger)
    # What is between the two is the mistake and nothing else.
    report = repaired("--table", "orders", "--to", f"lsn:{found['before']['lsn']}", "--until", f"lsn:{found['at']['lsn']}")
    check(report["updated"] == 1, report)
    check(rows("SELECT SUM(total < 0) FROM shop.orders") == [["0"]], "still there")
    fails(["find", "total < 0", "--table", "orders", "--since", start], "not true at the end")
    fails(["find", "id = 5", "--table", "orders", "--since", start], "already true")
    fails(["find", "total < (", "--table", "orders", "--since", start], "syntax")
    fails(["find", "id = 5", "--table", "nothing", "--since", start], "no table 'nothing'", code=3)


def a_table_that_was_dropped_or_truncated_comes_back():
    shop.sql("USE shop; CREATE TABLE audit (n INT AUTO_INCREMENT PRIMARY KEY, id INT);"
             "CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW INSERT INTO audit (id) VALUES (NEW.id);"
             "CREATE USER clerk; GRANT SELECT ON shop.orders TO clerk;")
    before = moment()
    held, definition = fingerprint("shop.orders, shop.log"), rows("SHOW CREATE TABLE shop.orders")
    shop.sql("USE shop; SET foreign_key_checks = 0; DROP TABLE orders; TRUNCATE log;")
    after = moment()
    shop.sql("INSERT INTO shop.log VALUES (1000, 'good');")
    out = repair("--table", "orders", "--to", before, "--yes").stdout
    check("comes back whole" in out and "5,000 rows" in out, out)
    report = repaired("--table", "log", "--to", before, "--until", after)
    check(report["inserted"] == 500, report)
    check(rows("SELECT COUNT(*) FROM shop.log WHERE at = 1000") == [["1"]], "the good write is lost")
    shop.sql("DELETE FROM shop.log WHERE at = 1000")
    check(fingerprint("shop.orders, shop.log") == held, "the tables are not what they were")
    check(rows("SHOW CREATE TABLE shop.orders") == definition, "definition")
    check(rows("SELECT COUNT(*) FROM shop.audit") == [["0"]], "the trigger fired for rows of the past")
    shop.sql("INSERT INTO shop.orders VALUES (6000, 1, 1)")
    check(rows("SELECT id FROM shop.audit") == [["6000"]], "the trigger is gone")
    check(any("`orders`" in grant[0] for grant in rows("SHOW GRANTS FOR clerk")), "the grant is gone")
    out = shop.run("diff", "--from", before).stdout
    check("shop.audit: 1 row added" in out and "shop.orders: 1 row added" in out and "log" not in out, out)


def a_patch_is_written_for_review():
    before = moment()
    shop.sql("UPDATE shop.users SET email = CONCAT('x', email) WHERE id < 50")
    held, path = fingerprint(), sandbox("patch.sql")
    repair("--table", "users", "--to", before, "--columns", "email", "--sql", path)
    check(fingerprint() == held, "--sql changed something")
    fails(["repair", "--table", "users", "--to", before, "--sql", path], "patch.sql", code=8)
    with open(path, encoding="utf-8") as file:
        shop.sql(file.read())
    check(rows("SELECT COUNT(*) FROM shop.users WHERE email LIKE 'xuser%'") == [["0"]], "the patch does not mend it")


def what_is_wrong_is_said_and_nothing_is_changed():
    before = moment()
    shop.sql("CREATE TABLE shop.late (id INT PRIMARY KEY)")
    middle = moment()
    shop.sql("ALTER TABLE shop.users ADD COLUMN nick VARCHAR(10), MODIFY visits BIGINT;"
             "UPDATE shop.users SET email = CONCAT('y', email) WHERE id < 20;"
             "CREATE DATABASE other; CREATE TABLE other.users (id INT PRIMARY KEY);")
    held = fingerprint("shop.users, shop.late")
    fails(["repair", "--table", "late", "--to", before, "--yes"], "no table 'late'", code=3)
    fails(["repair", "--table", "users", "--to", middle, "--until", middle, "--yes"], "visits: int(11)", "nick: not there then",
          "--columns 'id,email,seen'")
    fails(["repair", "--table", "users", "--to", before, "--columns", "visits", "--yes"], "visits")
    fails(["repair", "--table", "users", "--to", before, "--columns", "nothing", "--yes"], "nothing")
    fails(["repair", "--table", "users", "--to", before, "--where", "id = ", "--columns", "email", "--yes"], "syntax")
    fails(["repair", "--table", "users", "--to", before], "--yes", code=2)
    fails(["repair", "--table", "users", "--to", before, "--on-conflict", "maybe", "--yes"], "maybe", code=2)
    fails(["repair", "--table", "users", "--to", "2001-01-01", "--yes"], "the earliest moment is", code=4)
    fails(["diff", "--table", "users", "--from", before], "shop.users", "other.users", code=2)
    check(fingerprint("shop.users, shop.late") == held, "something was changed")
    report = repaired("--table", "shop.users", "--to", middle, "--columns", "email")
    check(report["updated"] == 19, report)
    out = shop.run("diff", "--from", before).stdout
    check("nick" in out and "shop.late: the table was created" in out, out)


def a_name_with_quotes_and_newlines_is_a_name():
    shop.sql("CREATE DATABASE `a'b\\`\"c`; CREATE TABLE `a'b\\`\"c`.`t``\n\"'x` (`k``\n'` VARCHAR(20) PRIMARY KEY, `v'\"` TEXT);".replace("\\`", "``")
             + "INSERT INTO `a'b``\"c`.`t``\n\"'x` VALUES ('a\\'b', 'one'), ('c\"\\nd', 'two');")
    before = moment()
    shop.sql("UPDATE `a'b``\"c`.`t``\n\"'x` SET `v'\"` = 'oops'; DELETE FROM `a'b``\"c`.`t``\n\"'x` WHERE `k``\n'` LIKE 'c%';")
    report = repaired("--table", "a'b`\"c.t`\n\"'x", "--to", before)
    check((report["updated"], report["inserted"]) == (1, 1), report)
    check(rows("SELECT SUM(`v'\"` = 'one'), SUM(`v'\"` = 'two') FROM `a'b``\"c`.`t``\n\"'x`") == [["1", "1"]], "rows")


def a_repair_goes_on_beside_writers_and_loses_none_of_their_writes():
    shop.sql("USE shop; CREATE TABLE stock (id INT PRIMARY KEY, n INT NOT NULL, spoiled INT NOT NULL); INSERT INTO stock SELECT seq, 0, 0 FROM seq_1_to_3000;")
    before = moment()
    shop.sql("UPDATE shop.stock SET spoiled = 1")
    after = moment()

    def write(numbers):
        shop.sql(f"UPDATE shop.stock SET n = n + 1 WHERE id IN ({numbers})")

    report, written = beside_writers(write, lambda: repaired("--table", "stock", "--to", before, "--until", after, "--chunked"))
    found = rows("SELECT SUM(n), SUM(spoiled) FROM shop.stock")[0]
    check(int(found[0]) == written, f"{found}, {written}: writes were lost")
    check(int(found[1]) == report["conflicts"], f"{found} {report}")
    check(report["updated"] + report["conflicts"] == 3000 and report["updated"] > 0, report)
    # The column alone is in conflict with nobody.
    report = repaired("--table", "stock", "--to", before, "--until", after, "--columns", "spoiled")
    check(rows("SELECT SUM(n), SUM(spoiled) FROM shop.stock")[0] == [found[0], "0"], report)


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
        a_table_that_was_dropped_or_truncated_comes_back,
        a_patch_is_written_for_review,
        what_is_wrong_is_said_and_nothing_is_changed,
        a_name_with_quotes_and_newlines_is_a_name,
        a_repair_goes_on_beside_writers_and_loses_none_of_their_writes,
        nothing_of_the_past_is_left_over,
    )
