"""
serve-*: `unspill serve` on one core, clusters that are there and stopped, and wrk on another core.  Beside it Moto's server, on the
same core, where $UNSPILL_BENCH_MOTO is a Python that has it (Debian does not).
"""
import json
import os
import re
import signal
import subprocess
import time
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cluster import Failed, free_port, wait_for

from lib import machine
from lib.servers import endings

CLUSTERS = 100
CONNECTIONS = 8
REGION = "us-east-1"
VERSIONS = {"sts": "2011-06-15", "rds": "2014-10-31"}


def pinned(core):
    """For Popen: the process stays on that core, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[core % len(cores)]})


def make_clusters(home, count):
    """Directories as `unspill create` leaves them, without data: serve knows them, and no keeper runs."""
    for number in range(count):
        directory = os.path.join(home, f"shop-{number:03}")
        os.makedirs(os.path.join(directory, "run"))
        os.mkdir(os.path.join(directory, "volume"))
        os.mkdir(os.path.join(directory, "mnt"))
        with open(os.path.join(directory, "cluster.json"), "w", encoding="ascii") as file:
            json.dump({"format": 1, "name": f"shop-{number:03}", "engine": "mariadb", "bind": "127.0.0.1", "port": 13000 + number,
                       "server_user": {"uid": 0, "gid": 0}, "created_us": 1795000000000000, "desired": "stopped",
                       "first": {"lsn": 4096, "time_us": 1795000000000000}, "server_options": []}, file)


class Answering:
    """What answers signed requests on a port."""

    def __init__(self, bench):
        self.bench, self.port, self.process, self.credentials = bench, free_port(), None, None
        endings.append(self.end)

    def end(self, number=signal.SIGTERM):
        if not self.process or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()

    def signed(self, service, operation):
        """Headers and body of a request as the command line sends it; good for 15 minutes."""
        body = f"Action={operation}&Version={VERSIONS[service]}"
        request = AWSRequest("POST", f"http://127.0.0.1:{self.port}/", data=body.encode(), headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": f"127.0.0.1:{self.port}",
            "User-Agent": "aws-cli/2.9.19 Python/3.11.2 Linux/6.1.0 source/x86_64.debian.12 prompt/off"})
        SigV4Auth(self.credentials, service, REGION).add_auth(request)
        return dict(request.headers), body

    def ask(self, service, operation):
        headers, body = self.signed(service, operation)
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", body.encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def load(self, service, operation, seconds):
        """(answers a second, milliseconds within which 99 of 100 came), over keep-alive connections."""
        headers, body = self.signed(service, operation)
        script = self.bench.path("load.lua")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f'wrk.method = "POST"\nwrk.body = {json.dumps(body)}\n')
            file.writelines(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in headers.items())
        done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}", "--latency", "-s", script,
                               f"http://127.0.0.1:{self.port}/"], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                              check=False, preexec_fn=pinned(1))
        rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        late = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
        if not rate or not late or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
            raise Failed(f"wrk: {done.stdout}{done.stderr}")
        return float(rate.group(1)), float(late.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[late.group(2)]

class Moto(Answering):
    """Its server, which takes any signature."""

    @staticmethod
    def python():
        return os.environ.get("UNSPILL_BENCH_MOTO")

    def start(self):
        self.credentials = Credentials("testing", "testing")
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [self.python(), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pinned(0))
        wait_for(self.answers, 60, "Moto's server")

    def answers(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.python()} -m moto.server ended: {self.process.returncode}")
        try:
            return bool(self.ask("sts", "GetCallerIdentity"))
        except OSError:  # nobody listens yet
            return False


class Serve(Answering):
    """Its home is made at the first start, and stays."""

    def __init__(self, bench, name, clusters=0):
        super().__init__(bench)
        self.home = bench.path(name)
        os.makedirs(self.home, mode=0o755)
        os.mkdir(os.path.join(self.home, ".serve"), mode=0o700)
        # As many as there can be are what is measured here.
        with open(os.path.join(self.home, ".serve", "serve.json"), "w", encoding="ascii") as file:
            json.dump({"requests_per_second": 1_000_000}, file)
        make_clusters(self.home, clusters)

    def start(self):
        """Returns when requests are answered."""
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [self.bench.binary, "serve", "--listen", f"127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env={**os.environ, "UNSPILL_HOME": self.home}, encoding="utf-8", preexec_fn=pinned(0))
        told = ""
        while not told.endswith(f":{self.port}\n"):
            line = self.process.stdout.readline()
            if not line:
                raise Failed("serve did not start")
            told += line
        found = [re.search(rf"aws_{word} (\S+)", told) for word in ("access_key_id", "secret_access_key")]
        if all(found):
            self.credentials = Credentials(*(one.group(1) for one in found))

    def resident_mib(self):
        return int(machine.found(r"^VmRSS:\s+(\d+) kB", machine.read(f"/proc/{self.process.pid}/status"))) / 1024

    def first_answer(self):
        """Seconds from being started to having answered with all clusters, after a kill."""
        self.end(signal.SIGKILL)
        start = time.monotonic()
        self.start()
        text = self.ask("rds", "DescribeDBClusters")
        took = time.monotonic() - start
        if text.count("<DBClusterIdentifier>") != CLUSTERS:
            raise Failed(f"not all clusters are there: {text[:300]}")
        return took
