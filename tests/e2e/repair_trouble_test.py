#!/usr/bin/env python3
"""
Repair when things go wrong: killed at the borders of its chunks and within, without a privilege, with more rows than memory
is to hold; and a table that is gone comes back with everything that belonged to it.
"""
import json
import os
import re
import subprocess
import time

from harness import LONG, SMALL_SERVER, Failed, check, iso, main, note, now_us, run, server_options, unspill, wait_for

shop = None
BATCH = 256  # rows of a chunk


def moment():
    time.sleep(0.01)
    now = iso(now_us())
    time.sleep(0.01)
    return now


def repair_words(*words):
    return [shop.unspill.binary, "repair", shop.name, *words]


def fails(words, text):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", env=shop.unspill.env, timeout=300, check=False)
    check(done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1 and text in done.stderr, f"{words}: {text!r}: {done}")


def a_shop():
    global shop
    shop = unspill().create("shop", *server_options(*SMALL_SERVER))
    shop.sql("CREATE DATABASE shop")


def nothing_is_left_of_the_past():
    scratch = shop.path("scratch")
    wait_for(lambda: not os.path.isdir(scratch) or not os.listdir(scratch), 60, "the files of the past to go")


# --- Killed ---------------------------------------------------------------------------------------


def stock(key="id"):
    return {row[0]: tuple(row) for row in shop.sql(f"SELECT id, n, v FROM shop.stock ORDER BY {key}")}


def expected(before, after, now):
    """Three-way logic, said plainly."""
    result = dict(now)
    for key in set(before) | set(after):
        b, a, n = before.get(key), after.get(key), now.get(key)
        if b == a or n != a:
            continue
        if b is None:
            result.pop(key, None)
        else:
            result[key] = b
    return result


def start_and_kill_at(before, after, row):
    """SIGKILL while the row of that number is being put back: a trigger sleeps there."""
    shop.sql(f"UPDATE shop.pause SET id = {row}")
    process = subprocess.Popen(repair_words("--table", "stock", "--to", before, "--until", after, "--chunked", "--yes"), env=shop.unspill.env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sleeping = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"
    try:
        wait_for(lambda: shop.sql(sleeping) or process.poll() is not None, 120, "the repair to come to the row")
        check(process.poll() is None, f"the repair has ended: {process.returncode}")
    finally:
        process.kill()
        process.wait(60)
    for row_of in shop.sql(sleeping):
        shop.sql(f"KILL {row_of[0]}")
    wait_for(lambda: not shop.sql("SELECT 1 FROM information_schema.innodb_trx WHERE trx_rows_modified > 0"), 60, "its last chunk to be undone")


def a_repair_in_chunks_goes_on_wherever_it_was_killed():
    shop.sql("""USE shop;
        CREATE TABLE stock (id INT PRIMARY KEY, n INT NOT NULL, v VARCHAR(20)) ENGINE=InnoDB;
        CREATE TABLE pause (id INT); INSERT INTO pause VALUES (0);
        INSERT INTO stock SELECT seq, 0, CONCAT('v', seq) FROM seq_1_to_1500;
        CREATE TRIGGER slow BEFORE UPDATE ON stock FOR EACH ROW
            SET @slept = IF(@unspill_repair AND OLD.id = (SELECT MAX(id) FROM pause), SLEEP(600), 0);
        DELETE FROM stock WHERE id % 100 = 50;
    """)
    before, was = moment(), stock()
    shop.sql("USE shop; UPDATE stock SET v = 'oops'; DELETE FROM stock WHERE id % 10 = 7; INSERT INTO stock SELECT seq, 9, 'spam' FROM seq_3001_to_3040;")
    after, spoiled = moment(), stock()
    shop.sql("USE shop; UPDATE stock SET n = n + 1 WHERE id % 30 = 11; INSERT INTO stock VALUES (5000, 1, 'good'); DELETE FROM stock WHERE id = 33;")
    wanted = expected(was, spoiled, stock())
    # Rows that differ come in the order of the key: the n-th of them begins a chunk where n is a multiple of BATCH.
    rows = sorted((int(key) for key in was if spoiled.get(key)), key=int)
    differ = sorted(int(key) for key in set(was) | set(spoiled) if was.get(key) != spoiled.get(key))
    updated = [key for key in differ if key in rows and (key % 30 != 11) and key != 33]
    first_of_second = next(key for key in differ[BATCH:] if key in updated)
    inside_third = next(key for key in differ[2 * BATCH + 100:] if key in updated)
    last_of_fourth = next(key for key in reversed(differ[:4 * BATCH]) if key in updated)
    seen = []
    for row in (first_of_second, inside_third, last_of_fourth):
        start_and_kill_at(before, after, row)
        now = stock()
        seen.append(sum(now[key] == was[key] != spoiled.get(key) for key in was if key in now))
        check(now[str(row)] == spoiled[str(row)], f"row {row} was put back although its chunk was not committed")
        check(set(now.items()) <= set(wanted.items()) | set(spoiled.items()) | {item for item in now.items() if item[1][1] == "1"},
              "a row is neither as it was nor as it is to be")
    note(f"rows that were put back when it was killed: {seen}")
    check(0 < seen[0] < seen[1] < seen[2] < len(was), f"{seen}: not at the chunks")
    shop.sql("UPDATE shop.pause SET id = 0")
    report = shop.json("repair", "--table", "stock", "--to", before, "--until", after, "--chunked", "--yes")
    check(stock() == wanted, f"{set(stock().items()) ^ set(wanted.items())}")
    check(report["already"] >= seen[2] and report["updated"] > 0, report)
    again = shop.json("repair", "--table", "stock", "--to", before, "--until", after, "--chunked", "--yes")
    check(again["inserted"] == again["updated"] == again["deleted"] == 0 and stock() == wanted, again)
    nothing_is_left_of_the_past()


def a_repair_in_one_transaction_that_was_killed_changed_nothing():
    before = moment()
    shop.sql("UPDATE shop.stock SET v = 'again'")
    after, spoiled = moment(), stock()
    row = sorted(map(int, spoiled))[700]
    shop.sql(f"UPDATE shop.pause SET id = {row}")
    process = subprocess.Popen(repair_words("--table", "stock", "--to", before, "--until", after, "--yes"), env=shop.unspill.env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sleeping = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"
    wait_for(lambda: shop.sql(sleeping), 120, "the repair to come to the row")
    process.kill()
    process.wait(60)
    for found in shop.sql(sleeping):
        shop.sql(f"KILL {found[0]}")
    wait_for(lambda: not shop.sql("SELECT 1 FROM information_schema.innodb_trx WHERE trx_rows_modified > 0"), 60, "it to be undone")
    check(stock() == spoiled, "something was changed")
    shop.sql("UPDATE shop.pause SET id = 0; DROP TRIGGER shop.slow")
    nothing_is_left_of_the_past()


# --- Without a privilege --------------------------------------------------------------------------


def without_a_privilege_one_line_says_so():
    before = moment()
    shop.sql("UPDATE shop.stock SET n = 77 WHERE id < 20")
    held = stock()
    words = repair_words("--table", "stock", "--to", before, "--yes")
    # Another user of the system has no business in the cluster's directory.
    fails(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *words], "unspill: repair")
    # The server's own root may be forbidden to write.
    shop.sql("CREATE USER admin@localhost; GRANT ALL ON *.* TO admin@localhost WITH GRANT OPTION; REVOKE UPDATE ON *.* FROM root@localhost;")
    try:
        fails(words, "UPDATE command denied")
    finally:
        run([shop.client()[0], "--no-defaults", f"--socket={shop.path('run/server/sock')}", "--user=admin"],
            text="GRANT UPDATE ON *.* TO root@localhost; FLUSH PRIVILEGES;")
    check(stock() == held, "something was changed")
    shop.sql("DROP USER admin@localhost")
    report = shop.json("repair", "--table", "stock", "--to", before, "--yes")
    check(report["updated"] > 0, report)


# --- Much -----------------------------------------------------------------------------------------


def peak_of(words):
    """(MiB of memory at most, what it printed).  Its own: what wait4() tells has its servers in it."""
    process = subprocess.Popen(words, env=shop.unspill.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    peak = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
            found = re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M)
        peak = max(peak, int(found.group(1)) if found else 0)
        time.sleep(0.02)
    out = process.stdout.read().decode()
    check(process.returncode == 0 and peak, f"{words}: {out}")
    return peak / 1024, out


def memory_does_not_grow_with_the_rows_that_differ():
    rows = 1_200_000 if LONG else 120_000
    shop.sql(f"USE shop; CREATE TABLE big (id INT PRIMARY KEY, v VARCHAR(500) NOT NULL); INSERT INTO big SELECT seq, REPEAT('x', 400) FROM seq_1_to_{rows};",
             timeout=600)
    peaks = []
    for count in (rows // 20, rows):
        before = moment()
        shop.sql(f"UPDATE shop.big SET v = CONCAT('{count}', v) WHERE id <= {count}", timeout=600)
        peak, out = peak_of(repair_words("--table", "big", "--to", before, "--dry-run"))
        check(f"{count:,} updated" in out, out)
        peaks.append(peak)
    note(f"at most {peaks[0]:.0f} MiB for {rows // 20:,} rows, {peaks[1]:.0f} MiB for {rows:,}")
    # The rows alone, in both states, are some 5 MiB and 100; ten times as many in the long run.
    check(peaks[1] < peaks[0] + 40, f"{peaks}")


# --- Somebody comes in between --------------------------------------------------------------------


class Other:
    """Another client, who keeps his transaction and his locks from one call to the next."""

    def __init__(self):
        self.process = subprocess.Popen(shop.client("-N", "-B", "-n", "shop"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def sql(self, statements):
        """Returns when they are done."""
        self.process.stdin.write(f"{statements}; SELECT 'done';\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line == "done\n":
                return
        raise Failed(f"the client ended at: {statements}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def repair_meanwhile(words, sign, meanwhile):
    """What it printed, and its exit code: `meanwhile` is called when it waits for somebody, of which the query `sign` is a sign."""
    with subprocess.Popen(repair_words(*words, "--json", "--yes"), env=shop.unspill.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            wait_for(lambda: shop.sql(sign) or process.poll() is not None, 120, "the repair to wait")
            check(process.poll() is None, f"the repair has ended: {process.returncode and process.communicate()}")
            meanwhile()
            out, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, out + errors


def a_row_that_is_changed_while_it_is_put_back_is_a_conflict_and_the_only_one():
    shop.sql("USE shop; CREATE TABLE lots (id INT PRIMARY KEY, n INT NOT NULL, v VARCHAR(20)) ENGINE=InnoDB;"
             "INSERT INTO lots SELECT seq, 0, CONCAT('v', seq) FROM seq_1_to_20")
    # Not innodb_trx: who asks for that more often than every 100 ms always gets the same answer.
    waits = "SELECT 1 FROM information_schema.global_status WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS' AND variable_value > 0"
    for mistake, row, kind in (("UPDATE lots SET v = 'oops'", 7, "updated"), ("INSERT INTO lots SELECT seq, 0, 'spam' FROM seq_101_to_120", 107, "deleted")):
        before, was = moment(), shop.sql("SELECT * FROM shop.lots ORDER BY id")
        shop.sql(f"USE shop; {mistake}")
        after = moment()
        with Other() as other:
            # The repair reads the row as it was, and then wants to change what is another one by then.
            other.sql(f"BEGIN; UPDATE lots SET n = 5 WHERE id = {row}")
            code, said = repair_meanwhile(("--table", "lots", "--to", before, "--until", after), waits, lambda: other.sql("COMMIT"))
        check(code == 0, said)
        report = json.loads(said)
        check(report[kind] == 19 and report["conflicts"] == 1, report)
        check([(one["key"]["id"], one["reason"]) for one in report["conflict_rows"]] == [(str(row), "it was changed while it was being put back")], report)
        left = [str(row), "5", "oops" if kind == "updated" else "spam"]
        wanted = [one for one in was if one[0] != str(row)] + [left]
        check(shop.sql("SELECT * FROM shop.lots ORDER BY id") == sorted(wanted, key=lambda one: int(one[0])), shop.sql("SELECT * FROM shop.lots"))
        shop.sql(f"UPDATE shop.lots SET n = 0, v = 'v7' WHERE id = {row}")
    shop.sql("DROP TABLE shop.lots")


def a_copy_that_somebody_adds_to_a_bag_while_others_go_is_not_lost():
    shop.sql("""USE shop; CREATE TABLE bag (v VARCHAR(20)) ENGINE=InnoDB; INSERT INTO bag VALUES ('a'), ('b'), ('b');
        CREATE TRIGGER slow BEFORE DELETE ON bag FOR EACH ROW SET @waited = IF(@unspill_repair, GET_LOCK('gate', 600), 0);
    """)
    before = moment()
    shop.sql("INSERT INTO shop.bag VALUES ('b'), ('c'), ('c')")
    after = moment()
    words = ("--table", "bag", "--to", before, "--until", after)
    rows = "SELECT v, COUNT(*) FROM shop.bag GROUP BY v ORDER BY v"
    with Other() as other:
        other.sql("SELECT GET_LOCK('gate', 0)")
        # At the first copy that it deletes it waits; what is added now it will come to as well.
        code, said = repair_meanwhile(words, "SELECT 1 FROM information_schema.processlist WHERE state = 'User lock'",
                                      lambda: other.sql("INSERT INTO bag VALUES ('c'); SELECT RELEASE_LOCK('gate')"))
    check(code != 0 and "changed while they were put back" in said, f"{code}: {said}")
    check(shop.sql(rows) == [["a", "1"], ["b", "3"], ["c", "3"]], shop.sql(rows))
    report = shop.json("repair", *words, "--yes")
    check(report["deleted"] == 1 and report["conflicts"] == 1, report)
    check(shop.sql(rows) == [["a", "1"], ["b", "2"], ["c", "3"]], shop.sql(rows))
    shop.sql("DROP TABLE shop.bag")


# --- Gone -----------------------------------------------------------------------------------------


def a_table_that_is_gone_comes_back_with_all_that_was_its_own():
    shop.sql("""USE shop;
        CREATE TABLE makers (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO makers VALUES (1), (2);
        CREATE TABLE goods (id INT AUTO_INCREMENT PRIMARY KEY, code CHAR(8) CHARACTER SET latin1 COLLATE latin1_bin, maker INT, price DECIMAL(8,2) CHECK (price >= 0),
            text TEXT, place POINT NOT NULL, twice DECIMAL(9,2) AS (price * 2) PERSISTENT, UNIQUE KEY code (code), KEY down (price DESC), KEY part (text(10)),
            FULLTEXT KEY words (text), SPATIAL KEY (place), CONSTRAINT made FOREIGN KEY (maker) REFERENCES makers (id) ON DELETE SET NULL)
            ENGINE=InnoDB COMMENT='it''s goods';
        CREATE TABLE sold (goods INT, FOREIGN KEY (goods) REFERENCES goods (id)) ENGINE=InnoDB;
        INSERT INTO goods (code, maker, price, text, place) SELECT CONCAT('c', seq), seq % 2 + 1, seq, CONCAT('word', seq), POINT(seq, seq) FROM seq_1_to_300;
        INSERT INTO sold SELECT seq FROM seq_1_to_50; ALTER TABLE goods AUTO_INCREMENT = 5000;
        CREATE TABLE noted (id INT);
        CREATE TRIGGER one BEFORE INSERT ON goods FOR EACH ROW SET NEW.code = IF(@unspill_repair, NEW.code, UPPER(NEW.code));
        CREATE TRIGGER two AFTER DELETE ON goods FOR EACH ROW INSERT INTO noted VALUES (OLD.id);
        CREATE USER clerk; GRANT SELECT (id, code), UPDATE (price) ON shop.goods TO clerk; GRANT DELETE ON shop.goods TO clerk;
    """)
    def facts():
        return {
            "definition": shop.sql("SHOW CREATE TABLE shop.goods"),
            "rows": shop.sql("SELECT id, code, maker, price, text, HEX(place), twice FROM shop.goods ORDER BY id"),
            "indexes": shop.sql("SELECT index_name, seq_in_index, column_name, collation, sub_part, index_type, non_unique FROM information_schema.statistics"
                                " WHERE table_name = 'goods' ORDER BY 1, 2"),
            "triggers": shop.sql("SELECT trigger_name, action_timing, event_manipulation, action_statement, definer FROM information_schema.triggers"
                                 " WHERE event_object_table = 'goods' ORDER BY 1"),
            "references": shop.sql("SELECT table_name, constraint_name, referenced_table_name, delete_rule FROM information_schema.referential_constraints"
                                   " WHERE constraint_schema = 'shop' ORDER BY 1, 2"),
            "next": shop.sql("SELECT auto_increment FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = 'goods'"),
            "grants": sorted(shop.sql("SHOW GRANTS FOR clerk")),
        }
    for gone in ("DROP TABLE", "TRUNCATE TABLE"):
        before, was = moment(), facts()
        shop.sql(f"USE shop; SET foreign_key_checks = 0; {gone} goods")
        # MariaDB begins again at 1 after TRUNCATE, as `repair` of rows leaves it: the next number is beyond the largest that came back.
        report = shop.json("repair", "--table", "goods", "--to", before, "--yes")
        check(report["rows" if report["whole"] else "inserted"] == 300, report)
        now = facts()
        for what, value in was.items():
            if gone == "TRUNCATE TABLE" and what in ("next", "definition"):
                continue
            check(now[what] == value, f"{gone}: {what}: {now[what]}, not {value}")
        shop.sql("USE shop; INSERT INTO goods (code, maker, price, place) VALUES ('new', 1, 1, POINT(0, 0))")
        number = int(shop.value("SELECT id FROM shop.goods WHERE code = 'NEW'"))
        check(number == 5000 if gone == "DROP TABLE" else number > 300, f"{gone}: the next number is {number}")
        shop.sql("USE shop; DELETE FROM goods WHERE code = 'NEW'")
        check(shop.sql("SELECT id FROM shop.noted") == [[str(number)]], "the triggers do not work, or fired before")
        shop.sql("DELETE FROM shop.noted; DELETE FROM shop.makers WHERE id = 2; SELECT COUNT(*) FROM shop.goods WHERE maker IS NULL")
        check(shop.value("SELECT COUNT(*) FROM shop.goods WHERE maker IS NULL") == "150", "the foreign key does not work")
        shop.sql("INSERT INTO shop.makers VALUES (2); UPDATE shop.goods SET maker = 2 WHERE maker IS NULL; ALTER TABLE shop.goods AUTO_INCREMENT = 5000")
    nothing_is_left_of_the_past()
    shop.run("verify")


main(
    a_shop,
    a_repair_in_chunks_goes_on_wherever_it_was_killed,
    a_repair_in_one_transaction_that_was_killed_changed_nothing,
    without_a_privilege_one_line_says_so,
    memory_does_not_grow_with_the_rows_that_differ,
    a_row_that_is_changed_while_it_is_put_back_is_a_conflict_and_the_only_one,
    a_copy_that_somebody_adds_to_a_bag_while_others_go_is_not_lost,
    a_table_that_is_gone_comes_back_with_all_that_was_its_own,
)
