"""A hundredth of a large table is spoiled; it is repaired under load, beside loading the table's dump again."""
import os
import subprocess
import time

from cluster import Failed, program

from lib import results
from lib.filled import seconds_of
from lib.results import Result, median
from lib.servers import create_cluster, end_load, make_tables, password, socket_of, start_load

TITLE = "unspill repair of a hundredth of a table of --megabytes times 10,000 rows, under load: command to rows as they were"
PEER = "loading the dump of that table into the same server, under the same load"
TARGET = ">= 5 times faster, and the load keeps >= 0.8 of its throughput meanwhile"
DISKS = "plain"
SCRIPT = "oltp_read_write"
LOAD_ROWS = 20_000
# What a clerk might get wrong: a stretch of days, which lie side by side, and one country, whose orders are everywhere.
MISTAKES = {
    "a stretch": "placed BETWEEN '2026-01-01' + INTERVAL {hundredth} * 20 SECOND AND '2026-01-01' + INTERVAL {hundredth} * 40 - 1 SECOND",
    "scattered": "country = 42",
}


def rows(wanted):
    return wanted.megabytes * 10_000


def minutes(wanted):
    millions = rows(wanted) / 1e6
    # Filled and dumped once; in each round loaded once, looked through six times.
    return (20 + 14 * millions + wanted.rounds * (12 + 3 * wanted.seconds + 30 * millions)) / 60


def fill(cluster, count):
    cluster.sql(
        "CREATE DATABASE shop; USE shop;"
        "CREATE TABLE orders (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, customer INT UNSIGNED NOT NULL, country TINYINT UNSIGNED NOT NULL,"
        " placed DATETIME NOT NULL, status ENUM('new','paid','sent','cancelled') NOT NULL, total DECIMAL(10,2) NOT NULL,"
        " note VARCHAR(60), visits INT NOT NULL DEFAULT 0)"
    )
    step = 100_000
    for first in range(1, count + 1, step):
        cluster.sql(
            "USE shop; INSERT INTO orders (id, customer, country, placed, status, total, note)"
            f" SELECT seq, seq * 7919 % {max(1, count // 10)}, seq * 31 % 100, '2026-01-01' + INTERVAL seq * 20 SECOND, 1 + seq % 3, seq % 100000 / 7,"
            " IF(seq % 5 = 0, NULL, CONCAT('order ', MD5(seq)))"
            f" FROM seq_{first}_to_{min(count, first + step - 1)}", timeout=600)
    cluster.sql("ALTER TABLE shop.orders ADD KEY (customer)", timeout=3600)


def fingerprint(cluster):
    """Of all that a mistake touches, and what was written besides."""
    return cluster.sql(
        "SELECT COUNT(*), SUM(CAST(CONV(LEFT(SHA1(CONCAT_WS('#', id, customer, country, placed, status, total, note)), 14), 16, 10) AS UNSIGNED)),"
        " SUM(visits) FROM shop.orders", timeout=3600)[0]


class Load:
    """sysbench at full speed on tables of its own, and how fast it goes."""

    def __init__(self, cluster):
        self.cluster = cluster
        make_tables(cluster, LOAD_ROWS)
        self.process = start_load(cluster, SCRIPT, LOAD_ROWS)

    def commits(self):
        return int(self.cluster.value("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'COM_COMMIT'"))

    def rate_while(self, what):
        """(seconds, transactions per second, what it returned)"""
        before, begun = self.commits(), time.monotonic()
        seconds, result = seconds_of(what)
        return seconds, (self.commits() - before) / (time.monotonic() - begun), result

    def close(self):
        if self.process.poll() is not None:
            raise Failed("sysbench ended by itself")
        end_load(self.process)


class Shop:
    """The cluster, its table, and the dump of it that a prudent administrator has."""

    def __init__(self, bench, disk):
        self.bench, self.rows = bench, rows(bench.wanted)
        self.cluster = create_cluster(bench, disk, "shop", bench.fastest)
        bench.say(f"a table of {self.rows:,} rows")
        fill(self.cluster, self.rows)
        self.wanted, self.visits = fingerprint(self.cluster), 0
        self.dump = os.path.join(disk.directory, "orders.sql")
        bench.say("its dump")
        self.client("mariadb-dump", "--single-transaction", "shop", "orders", stdout=self.dump)
        self.cluster.sql("CREATE DATABASE restored")

    def client(self, name, *words, stdin=os.devnull, stdout=os.devnull):
        with open(stdin, "rb") as source, open(stdout, "wb") as sink:
            subprocess.run([program(name), f"--socket={socket_of(self.cluster)}", "--user=root", *words], stdin=source, stdout=sink,
                           env={**os.environ, "MYSQL_PWD": password(self.cluster)}, timeout=7200, check=True)

    def spoil(self, where):
        """The moment before the mistake; and somebody's good writes after it."""
        self.cluster.run("mark", f"before-{self.visits}")
        found = self.cluster.sql(f"UPDATE shop.orders SET status = 'cancelled', total = 0 WHERE {where}; SELECT ROW_COUNT()", timeout=600)
        self.cluster.run("mark", f"after-{self.visits}")
        self.cluster.sql("UPDATE shop.orders SET visits = visits + 1 WHERE id % 1000 = 7 AND total <> 0", timeout=600)
        return int(found[0][0])

    def repair(self):
        return self.cluster.json("repair", "--table", "shop.orders", "--to", f"mark:before-{self.visits}", "--until", f"mark:after-{self.visits}",
                                 "--columns", "status,total", "--yes", timeout=3600)

    def load_dump(self):
        self.client("mariadb", "restored", stdin=self.dump)

    def put_back(self):
        self.cluster.sql("UPDATE shop.orders JOIN restored.orders AS old USING (id) SET orders.status = old.status, orders.total = old.total"
                         " WHERE orders.status = 'cancelled'; DROP TABLE restored.orders", timeout=3600)

    def check(self, what):
        found = fingerprint(self.cluster)
        if found[:2] != self.wanted[:2] or int(found[2]) <= int(self.wanted[2]):
            raise Failed(f"after {what} the table is not what it was: {found}, not {self.wanted}")
        self.wanted, self.visits = found, self.visits + 1


def one_turn(shop, load, side):
    wanted = shop.bench.wanted
    _, before, _ = load.rate_while(lambda: time.sleep(wanted.seconds))
    mistake = "a stretch" if side == "the dump" else side
    spoiled = shop.spoil(MISTAKES[mistake].format(hundredth=shop.rows // 100))
    if side == "the dump":
        seconds, rate, _ = load.rate_while(shop.load_dump)
        more = seconds_of(shop.put_back)[0]
    else:
        seconds, rate, report = load.rate_while(shop.repair)
        more = 0
        if report["updated"] != spoiled or report["conflicts"]:
            raise Failed(f"{spoiled} rows were spoiled: {report}")
    shop.check(side)
    return {"spoiled": spoiled, "seconds": seconds, "put back": more, "before": before, "meanwhile": rate, "kept": rate / before}


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        shop = Shop(bench, disk)
        load = Load(shop.cluster)
        found = {side: [] for side in (*MISTAKES, "the dump")}
        for turn, side in bench.turns(found):
            found[side].append(one_turn(shop, load, side))
            bench.say(f"round {turn + 1}: {side}: " + ", ".join(f"{key} {results.number(value)}" for key, value in found[side][-1].items()))
        load.close()
        os.unlink(shop.dump)
        middle = {side: {key: median([one[key] for one in all]) for key in all[0]} for side, all in found.items()}
        print(results.table(
            [f"{shop.rows:,} rows", "seconds (least..most)", "and to put back", "rows", "load before, 1/s", "meanwhile", "kept"],
            [[side, results.spread([one["seconds"] for one in found[side]]), results.number(m["put back"]), results.number(m["spoiled"]),
              results.number(m["before"]), results.number(m["meanwhile"]), f"{m['kept']:.2f}"] for side, m in middle.items()],
        ) + "\nEach came to the same hash of every row, with the writes made since, in every round.\n", flush=True)
        dump = middle["the dump"]
        for side in MISTAKES:
            lines.append(Result(f"{side}, beside loading the dump", dump["seconds"] / middle[side]["seconds"], 5, chief=True,
                                peer=dump["seconds"], ours=middle[side]["seconds"], unit="s"))
        for side in MISTAKES:
            lines.append(Result(f"{side}: what the load keeps", middle[side]["kept"], 0.8, peer=dump["kept"], ours=middle[side]["kept"]))
    return lines
