"""
A `unspill serve` of a test's own: started on a free port in a home of its own, stopped, killed, asked by the stock clients.
"""
import os
import re
import signal

from clients import BOTH
from harness import check, free_port, postgres_program, program, run, sandbox, unspill, wait_for


class Serving:
    all = []

    def __init__(self, name, *options):
        self.name, self.options = name, options
        self.unspill = unspill(name)
        self.home = sandbox(name)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process, self.said = None, ""
        self.account = self.key_id = self.secret = None
        os.makedirs(self.home, exist_ok=True)
        Serving.all.append(self)

    def start(self):
        """Until it answers; what it printed on standard output is in `said`."""
        out, err = sandbox(f"{self.name}.out"), sandbox(f"{self.name}.log")
        with open(out, "wb") as said, open(err, "ab") as log:
            self.process = self.unspill.start("serve", "--listen", f"127.0.0.1:{self.port}", *self.options, stdout=said, stderr=log)
        self.said = wait_for(lambda: self.ready(out), 30, "serve to be ready")
        if not self.secret:
            self.read_first_words()

    def ready(self, path):
        """What it has said, once that has the address: then it answers."""
        check(self.process.poll() is None, f"serve ended with {self.process.returncode}: {self.log()}")
        with open(path, encoding="utf-8") as said:
            text = said.read()
        return text if self.endpoint in text else None

    def read_first_words(self):
        found = {name: re.search(pattern, self.said) for name, pattern in (
            ("account", r"\b(\d{12})\b"), ("key_id", r"\b(AKIA[A-Z0-9]{16})\b"), ("secret", r"(?<![A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"))}
        check(all(found.values()), f"the first start does not show its key: {self.said!r}")
        self.account, self.key_id, self.secret = (found[name].group(1) for name in ("account", "key_id", "secret"))

    def stop(self):
        """As a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        check(status == 0, f"serve: exit status {status}: {self.log()}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        try:
            with open(sandbox(f"{self.name}.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def client(self, kind):
        """The account's root."""
        return kind(self.endpoint, self.key_id, self.secret)

    def clients(self):
        return [self.client(kind) for kind in BOTH]

    def operations(self):
        """What it answers: "rds:BacktrackDBCluster", ..."""
        return self.unspill.run("serve", "--operations").stdout.split()


def sql_as(cluster, user, password, database, statements):
    """Rows, asked over TCP by a user of the server's own."""
    port = str(cluster.status()["endpoint"]["port"])
    if cluster.engine == "postgresql":
        words = [postgres_program("psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port,
                 "-U", user, "-d", database, "-f", "-"]
        out = run(words, text=statements, env=dict(os.environ, PGPASSWORD=password)).stdout
    else:
        words = [program("mariadb"), "--no-defaults", "-N", "-B", "-h", "127.0.0.1", "-P", port, "-u", user, database]
        out = run(words, text=statements, env=dict(os.environ, MYSQL_PWD=password)).stdout
    return [line.split("\t") for line in out.splitlines()]
