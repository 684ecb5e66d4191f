"""
./try on SQLite: the volume is inside of this process, without root and without /dev/fuse.  A shop's program places orders all
the while; each spill is looked at, and taken back under it.
"""
import os
import sqlite3
import threading
import time

USERS, ORDERS = 20_000, 200_000
BYTES_NEEDED = 1 << 30

SHOP = f"""
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL REFERENCES users (id), amount REAL, client INTEGER, n INTEGER);
CREATE INDEX by_user ON orders (user);
WITH RECURSIVE seq(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM seq WHERE i < {USERS})
    INSERT INTO users SELECT i, 'user ' || i, 'user' || i || '@example.com', substr('BerlinLisbonQuito ', 1 + i % 3 * 6, 6) FROM seq;
WITH RECURSIVE seq(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM seq WHERE i < {ORDERS})
    INSERT INTO orders (user, amount) SELECT 1 + i * 7919 % {USERS}, i % 9000 / 100.0 FROM seq;
"""


def connect(extension, uri):
    loader = sqlite3.connect(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(extension)
    loader.close()
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60, check_same_thread=False)


class Shopper(threading.Thread):
    """Places orders on a connection of its own, one commit each, and keeps their numbers."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection = connection
        self.placed, self.refused = [], 0
        self.leave, self.pause, self.paused = threading.Event(), threading.Event(), threading.Event()

    def run(self):
        n = 0
        while not self.leave.wait(0.002):
            if self.pause.is_set():
                self.paused.set()
                continue
            self.paused.clear()
            n += 1
            try:
                self.connection.execute("INSERT INTO orders (user, amount, client, n) VALUES (?, 9.99, 1, ?)", (1 + n % USERS, n))
                self.placed.append(n)
            except sqlite3.Error:
                self.refused += 1


class Story:
    """`show` has how things are said: chapter, say, command, picture, prove."""

    def __init__(self, unspill, binary, show):
        self.unspill, self.show = unspill, show
        self.extension = os.path.join(os.path.dirname(os.path.dirname(binary)), "vfs", "unspill")

    def run(self, *args):
        self.show.command("unspill " + " ".join(f"'{word}'" if " " in word else word for word in args))
        began = time.monotonic()
        done = self.unspill.run(*args)
        self.show.picture(done.stdout)
        return time.monotonic() - began

    def mark(self, name):
        self.unspill.run("mark", "shop", name)

    def one(self, sql):
        return self.connection.execute(sql).fetchone()[0]

    def rows(self, sql):
        return self.connection.execute(sql).fetchall()

    def users_are_whole(self):
        return self.rows("SELECT * FROM users ORDER BY id") == self.users

    def make(self):
        self.show.chapter("A shop on SQLite: no server, no root, no /dev/fuse")
        self.run("create", "shop", "--engine", "sqlite")
        uri = f"file:{os.path.join(self.unspill.home, 'shop', 'shop.db')}?vfs=unspill"
        self.connection = connect(self.extension, uri)
        self.connection.execute("PRAGMA journal_mode = WAL")
        began = time.monotonic()
        self.connection.executescript("BEGIN;" + SHOP + "COMMIT;")
        self.show.say(f"{USERS:,} users and {ORDERS:,} orders", time.monotonic() - began)
        self.users = self.rows("SELECT * FROM users ORDER BY id")
        self.shopper = Shopper(connect(self.extension, uri))
        self.shopper.start()

    def still(self):
        """Nobody places anything until go_on()."""
        self.shopper.pause.set()
        self.shopper.paused.wait()

    def go_on(self):
        self.shopper.pause.clear()

    def spoil_and_repair(self):
        self.show.chapter("1. UPDATE without WHERE, repaired while orders come in")
        self.mark("before the update")
        self.connection.execute("UPDATE users SET email = 'oops' || id")
        self.mark("after the update")
        self.show.say("UPDATE users SET email = 'oops' || id")
        self.run("diff", "shop", "--table", "users", "--from", "mark:before the update", "--to", "mark:after the update", "--limit", "2")
        took = self.run("repair", "shop", "--table", "users", "--to", "mark:before the update", "--until", "mark:after the update", "--yes")
        self.show.prove(self.users_are_whole(), "every user is exactly as before")
        self.show.say("repaired", took)

    def drop_and_repair(self):
        self.show.chapter("2. DROP TABLE, the table comes back whole")
        self.still()
        self.mark("before the drop")
        whole, schema = self.rows("SELECT * FROM orders ORDER BY id"), self.rows("SELECT sql FROM sqlite_schema ORDER BY name")
        self.connection.execute("DROP TABLE orders")
        self.show.say("DROP TABLE orders")
        took = self.run("repair", "shop", "--table", "orders", "--to", "mark:before the drop", "--yes")
        self.show.prove(self.rows("SELECT * FROM orders ORDER BY id") == whole, f"all {len(whole):,} orders are there, with those that came in")
        self.show.prove(self.rows("SELECT sql FROM sqlite_schema ORDER BY name") == schema, "and so is its index")
        self.show.say("repaired", took)
        self.go_on()

    def migrate_and_go_back(self):
        self.show.chapter("3. A broken migration, and the whole database goes back under the program")
        self.still()
        self.mark("before the migration")
        whole = self.rows("SELECT * FROM orders ORDER BY id")
        self.connection.executescript("ALTER TABLE users RENAME COLUMN email TO contact; UPDATE users SET contact = name; DELETE FROM orders WHERE user % 2")
        self.mark("after the migration")
        self.show.say("ALTER TABLE users RENAME COLUMN email ...; UPDATE users ...; DELETE FROM orders ...")
        took = self.run("backtrack", "shop", "--to", "mark:before the migration", "--yes")
        self.show.prove(self.users_are_whole(), "every user is exactly as before, on the connections that were open")
        self.show.prove(self.rows("SELECT * FROM orders ORDER BY id") == whole, f"and all {len(whole):,} orders")
        self.show.say("went back", took)
        placed = len(self.shopper.placed)
        self.go_on()
        while len(self.shopper.placed) < placed + 10:
            time.sleep(0.01)
        self.show.say("the program goes on placing orders")

    def forward_and_back(self):
        self.show.chapter("4. Going back lost nothing: forward again, and back to the present")
        self.still()
        self.mark("the present")
        whole = self.rows("SELECT * FROM orders ORDER BY id")
        self.run("backtrack", "shop", "--to", "mark:after the migration", "--yes")
        self.show.prove(self.one("SELECT count(*) FROM users WHERE contact = name") == USERS, "the migration's mess is there to be looked at")
        self.run("backtrack", "shop", "--to", "mark:the present", "--yes")
        self.show.prove(self.rows("SELECT * FROM orders ORDER BY id") == whole and self.users_are_whole(), "and the present again")
        self.go_on()

    def end(self):
        self.shopper.leave.set()
        self.shopper.join()
        there = {row[0] for row in self.rows("SELECT n FROM orders WHERE client = 1")}
        self.show.prove(there == set(self.shopper.placed),
                        f"each of the {len(there):,} orders that were acknowledged meanwhile is there, and no other")
        self.show.prove(not self.shopper.refused, "none was refused")
        self.show.prove(self.one("PRAGMA integrity_check") == "ok", "SQLite finds the database whole")
        self.shopper.connection.close()
        self.connection.close()
        self.run("verify", "shop")

    def tell(self):
        self.make()
        self.spoil_and_repair()
        self.drop_and_repair()
        self.migrate_and_go_back()
        self.forward_and_back()
        self.end()
