"""
./try: a MariaDB on a rewinding volume, spilled four times, each spill taken back and proved; where there is no root or no
/dev/fuse, an SQLite database (try_sqlite.py).

It uses what anybody can use: the `unspill` command and the `mariadb` client.  Every proof that fails ends
it, loudly, with exit status 1.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import types

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tools"))

import try_sqlite  # noqa: E402
from cluster import Failed, History, Unspill, find_binary, free_port, run  # noqa: E402

USERS, PRODUCTS, ORDERS, CLIENTS = 100_000, 1_000, 1_000_000, 4
BYTES_NEEDED = 4 << 30

SHOP = f"""
CREATE DATABASE shop;
USE shop;
CREATE TABLE users (
    id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL, email VARCHAR(80) NOT NULL,
    city VARCHAR(20) NOT NULL, joined DATE NOT NULL, KEY (email));
CREATE TABLE products (
    id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL, price DECIMAL(8,2) NOT NULL);
CREATE TABLE orders (
    id INT PRIMARY KEY AUTO_INCREMENT, user_id INT NOT NULL, product_id INT NOT NULL, pieces INT NOT NULL,
    amount DECIMAL(10,2) NOT NULL, placed DATETIME NOT NULL, client INT, n INT, KEY (user_id));
INSERT INTO users (name, email, city, joined)
    SELECT CONCAT('user ', seq), CONCAT('user', seq, '@example.com'),
           ELT(1 + seq % 5, 'Berlin', 'Lisbon', 'Osaka', 'Quito', 'Tromso'), '2020-01-01' + INTERVAL seq % 2000 DAY
    FROM seq_1_to_{USERS};
INSERT INTO products (name, price) SELECT CONCAT('product ', seq), 1 + seq % 97 + 0.99 FROM seq_1_to_{PRODUCTS};
"""
FILL_ORDERS = f"""
USE shop;
INSERT INTO orders (user_id, product_id, pieces, amount, placed)
    SELECT 1 + seq * 7919 % {USERS}, 1 + seq * 31 % {PRODUCTS}, 1 + seq % 4, 10 + seq % 9000 / 100,
           '2024-01-01' + INTERVAL seq % 60000000 SECOND
    FROM seq_1_to_{ORDERS};
"""
MIGRATION = """
USE shop;
ALTER TABLE users ADD COLUMN contact VARCHAR(80);
UPDATE users SET contact = CONCAT(name, '@example.com');
ALTER TABLE users DROP COLUMN email;
UPDATE products SET price = price * 100;
"""


# --- What one sees ------------------------------------------------------------------------------

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def chapter(text):
    print("\n" + paint("1", text), flush=True)


def say(text, seconds=None):
    took = f"{seconds:8.2f} s" if seconds is not None else ""
    print(f"  {text:<94}{took}".rstrip(), flush=True)


def command(text):
    print("  " + paint("36", "$ " + text), flush=True)


def picture(text):
    for line in text.rstrip().splitlines():
        print("    " + line)
    sys.stdout.flush()


class NotProved(Exception):
    pass


def prove(condition, text):
    if not condition:
        raise NotProved(text)
    say(paint("32", "proved: ") + text)


# --- The other clients -----------------------------------------------------------------------------


class Shopper(threading.Thread):
    """A client that places orders, one commit each, and keeps a list of what was acknowledged and when."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster, self.number = cluster, number
        self.placed = []  # (n, asked, acknowledged), times in microseconds
        self.failed = 0
        self.leave = threading.Event()

    def connection(self):
        return subprocess.Popen(
            self.cluster.client("-N", "-B", "--unbuffered", "shop"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

    def run(self):
        n, client = 0, None
        chance = random.Random(self.number)
        while not self.leave.is_set():
            if client is None:
                client = self.connection()
            n += 1
            asked = time.time_ns() // 1000
            answer = ""
            try:
                client.stdin.write(
                    "INSERT INTO orders (user_id, product_id, pieces, amount, placed, client, n) VALUES"
                    f" ({chance.randint(1, USERS)}, {chance.randint(1, PRODUCTS)}, 1, 9.99, NOW(), {self.number}, {n});"
                    f" SELECT {n};\n"
                )
                answer = client.stdout.readline()
            except OSError:
                pass
            if answer.strip() == str(n):
                self.placed.append((n, asked, time.time_ns() // 1000))
                self.leave.wait(0.002)
            else:
                self.failed += 1
                self.end(client)
                client = None
                self.leave.wait(0.05)
        if client:
            self.end(client)

    @staticmethod
    def end(client):
        client.kill()
        try:
            client.stdin.close()
        except OSError:
            pass
        client.wait()
        client.stdout.close()


class Shop:
    """The cluster, its clients, and what we know of its content."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.shoppers = []
        self.sql = cluster.sql

    def open_doors(self):
        self.shoppers = [Shopper(self.cluster, number) for number in range(1, CLIENTS + 1)]
        for shopper in self.shoppers:
            shopper.start()

    def close_doors(self):
        for shopper in self.shoppers:
            shopper.leave.set()
        for shopper in self.shoppers:
            shopper.join(60)

    def placed(self):
        return sum(len(shopper.placed) for shopper in self.shoppers)

    def busy(self, seconds):
        """Let the clients work for a while; how many orders they placed."""
        before = self.placed()
        time.sleep(seconds)
        return self.placed() - before

    def photograph(self):
        """Checksums of everything, and how the tables look; of the orders, those of the filling (clients add others)."""
        rows = self.sql(
            "USE shop; CHECKSUM TABLE users, products; SHOW CREATE TABLE users; SHOW CREATE TABLE orders; SELECT COUNT(*),"
            " SUM(CRC32(CONCAT_WS('|', id, user_id, product_id, pieces, amount, placed)))"
            f" FROM orders WHERE id <= {ORDERS}"
        )
        return [[field.split("\\n) ENGINE")[0] for field in row] for row in rows]

    def check_orders(self, history):
        """Against the clients' own lists: which orders have to be there, and which must not."""
        lists = [(shopper.number, list(shopper.placed)) for shopper in self.shoppers]
        there = {(int(c), int(n)) for c, n in self.sql("SELECT client, n FROM shop.orders WHERE client IS NOT NULL")}
        judge = history.verdict(time.time_ns() // 1000)
        counts = {"there": 0, "undone": 0, "wrong": 0}
        for number, placed in lists:
            for n, asked, answered in placed:
                wanted = judge(asked, answered)
                if wanted is not None:
                    counts["there" if wanted else "undone"] += 1
                    counts["wrong"] += wanted != ((number, n) in there)
        return counts


# --- The story -------------------------------------------------------------------------------------


class Story:
    def __init__(self, options, unspill):
        self.options, self.unspill = options, unspill
        self.times = []
        self.backtracks = []
        self.shop = None
        self.after_drop = None
        self.photo = None
        self.history = History()

    def step(self, title, seconds):
        self.times.append((title, seconds))

    def timed(self, title, work, text=None):
        start = time.monotonic()
        value = work()
        seconds = time.monotonic() - start
        say(text or title, seconds)
        self.step(title, seconds)
        return value

    def create(self):
        port = self.options.port or free_port()
        chapter("A MariaDB cluster on a volume that remembers every write")
        arguments = ["--backtrack-window", "24h", "--port", str(port)]
        command("unspill create shop --engine mariadb " + " ".join(arguments))
        cluster = self.timed("create the cluster", lambda: self.unspill.create("shop", *arguments))
        self.shop = Shop(cluster)
        version, doublewrite = self.shop.sql("SELECT VERSION(), @@innodb_doublewrite")[0]
        off = "off" if doublewrite in ("0", "OFF") else "on"
        say(f"MariaDB {version} answers on 127.0.0.1:{port}; doublewrite {off}: on this volume no write is ever torn")

    def fill(self):
        chapter(f"A shop: {USERS:,} users, {ORDERS:,} orders")
        self.timed(f"fill {USERS:,} users and {PRODUCTS:,} products", lambda: self.shop.sql(SHOP))
        self.timed(f"fill {ORDERS:,} orders", lambda: self.shop.sql(FILL_ORDERS))
        self.photo = self.timed("checksum of every table", self.shop.photograph)
        self.shop.open_doors()
        placed = self.shop.busy(2)
        if not placed:
            raise NotProved("the clients could not place a single order")
        say(f"{CLIENTS} other clients place orders from here to the end, and keep lists of their own ({placed / 2:.0f}/s)")

    def spill(self, statement):
        """Run it; (the moment just before, seconds)."""
        before_us = time.time_ns() // 1000
        time.sleep(0.001)
        command(f'mariadb shop -e "{statement}"')
        start = time.monotonic()
        self.shop.sql("USE shop; " + statement)
        seconds = time.monotonic() - start
        self.shop.busy(1)
        return before_us, seconds

    def backtrack(self, title, to, moment_us):
        command(f"unspill backtrack shop --to '{to}' --yes")
        start = time.monotonic()
        result = self.shop.cluster.backtrack(to)
        seconds = time.monotonic() - start
        kill, rewind, begin = (result[name] / 1e6 for name in ("kill_us", "rewind_us", "start_us"))
        say(
            f"back, {result['records']:,} change records away: server stopped {kill:.2f} s, head moved {rewind:.2f} s,"
            f" server up {begin:.2f} s",
            seconds,
        )
        self.backtracks.append((title, result["records"], kill, rewind, begin, seconds))
        self.step(f"backtrack: {title}", seconds)
        self.history.jump(result["at"]["time_us"], moment_us)

    def prove_all(self):
        start = time.monotonic()
        same = self.shop.photograph() == self.photo
        prove(same, f"users, products and the {ORDERS:,} orders have their old checksums and columns")
        counts = self.shop.check_orders(self.history)
        prove(
            counts["wrong"] == 0,
            f"of the clients' own orders all {counts['there']:,} that should be are there, none of the"
            f" {counts['undone']:,} that were undone",
        )
        self.step("proofs", time.monotonic() - start)

    def update_without_where(self):
        chapter("Spill 1: UPDATE without a WHERE")
        before_us, seconds = self.spill("UPDATE users SET email='oops@example.com'")
        say(f"{USERS:,} rows changed, while the clients went on", seconds)
        damage = self.shop.sql("SELECT email, COUNT(*) FROM shop.users GROUP BY email ORDER BY 2 DESC LIMIT 1")[0]
        say(paint("31", "damage: ") + f"{int(damage[1]):,} users now have the address {damage[0]}")
        command("unspill moments shop --since 20s --step 1s")
        picture(self.shop.cluster.run("moments", "--since", "20s", "--step", "1s").stdout)
        to = iso(before_us)
        command(f"unspill backtrack shop --to {to} --dry-run")
        picture(self.shop.cluster.run("backtrack", "--to", to, "--dry-run").stdout)
        self.backtrack("UPDATE without WHERE", to, before_us)
        self.prove_all()

    def drop_table(self):
        chapter("Spill 2: DROP TABLE, on what was thought to be the test server")
        self.shop.busy(1)
        before_us, seconds = self.spill("DROP TABLE orders")
        say("gone", seconds)
        # Somebody registers meanwhile: written, acknowledged, and about to be undone with the rest.
        self.shop.sql("INSERT INTO shop.users VALUES (777777, 'after the drop', 'late@example.com', 'Osaka', '2026-01-01')")
        self.after_drop = time.time_ns() // 1000
        time.sleep(0.2)
        self.damage("SELECT COUNT(*) FROM shop.orders")
        self.backtrack("DROP TABLE", iso(before_us), before_us)
        self.prove_all()

    def truncate(self):
        chapter("Spill 3: TRUNCATE")
        self.shop.busy(1)
        before_us, seconds = self.spill("TRUNCATE TABLE orders")
        say("emptied; the clients have begun to fill it again", seconds)
        left = int(self.shop.cluster.value("SELECT COUNT(*) FROM shop.orders"))
        say(paint("31", "damage: ") + f"{left:,} orders are left")
        self.backtrack("TRUNCATE", iso(before_us), before_us)
        self.prove_all()

    def migration(self):
        chapter("Spill 4: a migration that was wrong")
        self.shop.busy(1)
        command("unspill mark shop before-migration")
        mark_us = self.shop.cluster.json("mark", "before-migration")["moment"]["time_us"]
        command("mariadb shop < migration.sql")
        picture("\n".join(line for line in MIGRATION.strip().splitlines()[1:]))
        self.timed("run the migration", lambda: self.shop.sql(MIGRATION))
        self.damage("SELECT email FROM shop.users LIMIT 1")
        price = self.shop.cluster.value("SELECT MAX(price) FROM shop.products")
        say(paint("31", "damage: ") + f"the dearest product costs {price}, the addresses are made up")
        self.shop.busy(1)
        self.backtrack("broken migration", "mark:before-migration", mark_us)
        self.prove_all()

    def damage(self, statement):
        done = run(self.shop.cluster.client("-e", statement), check=False)
        if done.returncode == 0:
            raise NotProved(f"the spill did not spill: {statement} works")
        say(paint("31", "damage: ") + done.stderr.strip().splitlines()[-1])

    def forward(self):
        chapter("Forward again: nothing is ever lost")
        self.shop.close_doors()
        here_us = time.time_ns() // 1000
        here = self.shop.photograph()
        ago = (here_us - self.after_drop) / 1e6
        say(f"what followed the DROP was undone, {ago:.0f} s ago; it is on the tape all the same")
        self.backtrack("forward, to after the DROP", iso(self.after_drop), self.after_drop)
        late = self.shop.sql("SELECT email FROM shop.users WHERE id = 777777")
        tables = {row[0] for row in self.shop.sql("SHOW TABLES FROM shop")}
        prove("orders" not in tables, "at that moment there is no table orders")
        prove(late == [["late@example.com"]], "and the user who registered after the DROP is there")
        self.backtrack("and back to the present", iso(here_us), here_us)
        prove(self.shop.photograph() == here, "back in the present, every checksum is what it was")
        self.prove_all()

    def close(self):
        chapter("What happened")
        listed = len(self.shop.cluster.json("backtracks")["backtracks"])
        if listed != len(self.backtracks):
            raise NotProved(f"unspill backtracks lists {listed} of {len(self.backtracks)} backtracks")
        status = self.shop.cluster.status()
        size = status["bytes"]
        say(f"{status['records']['stored']:,} change records on {size['tape'] / 1e6:,.0f} MB of tape, base"
            f" {size['base'] / 1e6:,.0f} MB, and {status['restarts']} restarts that nobody asked for")
        print(f"\n  {'backtrack':<30}{'records':>12}{'stop':>10}{'rewind':>10}{'start':>10}{'in all':>10}")
        for title, records, kill, rewind, begin, seconds in self.backtracks:
            print(f"  {title:<30}{records:>12,}{kill:>8.2f} s{rewind:>8.2f} s{begin:>8.2f} s{seconds:>8.2f} s")
        slowest = max(seconds for *_, seconds in self.backtracks)
        print(f"\n  {'step':<60}{'time':>10}")
        for title, seconds in self.times:
            if not title.startswith(("backtrack", "proofs")):
                print(f"  {title:<60}{seconds:>8.2f} s")
        print(f"  {'all proofs':<60}{sum(s for t, s in self.times if t == 'proofs'):>8.2f} s")
        print(f"  {'slowest of ' + str(len(self.backtracks)) + ' backtracks':<60}{slowest:>8.2f} s", flush=True)

    def tell(self):
        self.create()
        self.fill()
        self.update_without_where()
        self.drop_table()
        self.truncate()
        self.migration()
        self.forward()
        self.close()


def iso(time_us):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_us // 1_000_000)) + f".{time_us % 1_000_000:06}Z"


def build():
    """Returns the path of the program; $UNSPILL_BUILD: it is built already."""
    if os.environ.get("UNSPILL_BUILD"):
        return os.path.abspath(find_binary(TOP))
    tree = os.path.join(TOP, "build")
    if not os.path.exists(os.path.join(tree, "build.ninja")):
        run(["meson", "setup", tree, TOP])
    run(["ninja", "-C", tree], timeout=1200)
    return os.path.join(tree, "src/cmd/unspill")


def keep(cluster, binary, sandbox):
    with open(os.path.join(sandbox, "keep"), "w", encoding="utf-8"):
        pass
    chapter("It goes on running")
    print(f"  export UNSPILL_HOME={cluster.unspill.home}; alias unspill={binary}")
    print("  unspill status shop          unspill shell shop           unspill moments shop --since 5m")
    print("  unspill backtrack shop --to '1 minute ago'")
    print(f"  unspill delete shop --yes && rm -r {sandbox}          when you have seen enough")


def can_mount():
    return os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)


def tell_sqlite(options, unspill, binary):
    show = types.SimpleNamespace(chapter=chapter, say=say, command=command, picture=picture, prove=prove)
    try_sqlite.Story(unspill, binary, show).tell()
    if not options.keep:
        unspill.run("delete", "shop", "--yes")


def keep_sqlite(unspill, binary, sandbox):
    with open(os.path.join(sandbox, "keep"), "w", encoding="utf-8"):
        pass
    chapter("It stays for you to play with")
    print(f"  export UNSPILL_HOME={unspill.home}; alias unspill={binary}")
    print("  unspill shell shop           unspill moments shop --since 5m           unspill diff shop --from '1 minute ago'")
    print(f"  unspill delete shop --yes && rm -r {sandbox}          when you have seen enough")


def parse(args):
    parser = argparse.ArgumentParser(
        prog="./try", description="Spill a MariaDB four times, and take each spill back.", allow_abbrev=False
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster running, and say how to use it")
    parser.add_argument("--dir", help="where to put it all, in a directory of its own (default: $TMPDIR or /tmp)")
    parser.add_argument("--engine", choices=("mariadb", "sqlite"), default="mariadb" if can_mount() else "sqlite",
                        help="whose database (default: mariadb, or sqlite without root or /dev/fuse)")
    parser.add_argument("--port", type=int, default=0, help="the server's port (default: a free one)")
    return parser.parse_args(args)


def main(args):
    options = parse(args)
    place = os.path.abspath(options.dir or os.environ.get("TMPDIR") or "/tmp")
    sandbox = os.environ.get("UNSPILL_SANDBOX")
    if not sandbox:
        if not os.path.isdir(place):
            sys.exit(f"./try: {place} is not a directory")
        needed = BYTES_NEEDED if options.engine == "mariadb" else try_sqlite.BYTES_NEEDED
        if shutil.disk_usage(place).free < needed:
            sys.exit(f"./try: needs {needed >> 30} GiB in {place}; --dir DIR chooses another place")
        box = os.path.join(TOP, "tools/sandbox")
        me = [sys.executable, os.path.abspath(__file__), *args]
        os.execv(box, [box, "--name", "unspill-try", "--in", place, *me])

    begin = time.monotonic()
    print(paint("1", "Unspill: a rewind button for " + {"mariadb": "MariaDB", "sqlite": "SQLite"}[options.engine]), flush=True)
    story = None
    try:
        binary = build()
        say("built " + os.path.relpath(binary, TOP), time.monotonic() - begin)
        unspill = Unspill(binary, os.environ["UNSPILL_HOME"])
        if options.engine == "sqlite":
            tell_sqlite(options, unspill, binary)
        else:
            story = Story(options, unspill)
            story.tell()
            if not options.keep:
                story.shop.cluster.run("delete", "--yes", timeout=120)
    except (NotProved, Failed, subprocess.TimeoutExpired) as error:
        print(paint("1;31", "\nNOT PROVED: " if isinstance(error, NotProved) else "\nFAILED: ") + str(error), flush=True)
        if story and story.shop:
            picture(story.shop.cluster.logs())
        return 1
    except KeyboardInterrupt:
        print("\nstopped; cleaning up")
        return 130
    chapter(f"Every spill was undone, every proof holds.  {time.monotonic() - begin:.0f} s in all.")
    if options.keep and story:
        keep(story.shop.cluster, binary, sandbox)
    elif options.keep:
        keep_sqlite(unspill, binary, sandbox)
    else:
        say("the cluster is deleted; nothing is left in " + place)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
