"""What the history of a transaction takes, in bytes."""
from cluster import Failed
from cluster import run as command

from lib import results
from lib.results import Result
from lib.servers import BINLOG, change_settings, create_cluster, load, make_tables, plain_server
from lib.tape import Tape

TITLE = "bytes of history per transaction of oltp_write_only, fresh and repacked"
PEER = "a ROW binlog with full images (binlog_row_image=FULL) of the same number of transactions"
TARGET = "<= 1.0 after repacking"
DISKS = "plain"
PER_SECOND = 10_000  # so many transactions for each of --seconds


def events(wanted):
    return max(2000, round(wanted.seconds * PER_SECOND))


def minutes(wanted):
    return (60 + 2.25 * events(wanted) / 4000) / 60


def binlog_bytes(server):
    return sum(int(row[1]) for row in server.sql("SHOW BINARY LOGS"))


def measure_binlog(bench, disk):
    server = plain_server(f"{disk.directory}/server", *BINLOG)
    server.create()
    server.start()
    make_tables(server, bench.wanted.rows)
    before = binlog_bytes(server)
    done = load(server, "oltp_write_only", bench.wanted.rows, events=events(bench.wanted))[1]
    bytes_each = (binlog_bytes(server) - before) / done
    server.stop()
    return bytes_each


def can_repack(bench):
    return command([bench.binary, "repack", "--help"], check=False).returncode == 0


def measure_ours(bench, disk):
    """Bytes per transaction: {what: bytes}"""
    cluster = create_cluster(bench, disk, "window", bench.fastest)
    # What is fresh is to stay so until we say.
    cluster.run("stop")
    change_settings(cluster, repack=False)
    cluster.run("start")
    make_tables(cluster, bench.wanted.rows)
    # Until pages are written as steadily as the log that they follow.
    load(cluster, "oltp_write_only", bench.wanted.rows, events=events(bench.wanted) // 4)
    repacks = can_repack(bench)
    if repacks:
        cluster.run("repack", timeout=3600)
    before, base = Tape(cluster), cluster.status()["bytes"]["base"]
    done = load(cluster, "oltp_write_only", bench.wanted.rows, events=events(bench.wanted))[1]
    after = Tape(cluster)
    fresh = (after.now - before.now) / done
    found = {"tape, fresh": fresh, "base": (cluster.status()["bytes"]["base"] - base) / done}
    if not repacks:
        print("repacked: skipped: there is no 'unspill repack'")
    elif after.live == before.live:
        print("repacked: skipped: no segment was filled, take more --seconds")
    else:
        cluster.run("repack", timeout=3600)
        # Whole segments are repacked: what they take now, for what was written into them.
        packed = Tape(cluster).sealed_bytes - before.sealed_bytes
        found["tape, repacked"] = fresh * packed / (after.live - before.live)
    return found


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        binlog, ours = measure_binlog(bench, disk), measure_ours(bench, disk)
        if binlog <= 0:
            raise Failed("the binlog did not grow")
        print(results.table(
            [f"{disk.name} disk, {events(bench.wanted):,} transactions", "bytes per transaction", "beside the binlog"],
            [["ROW binlog, full images", f"{binlog:,.0f}", "1.00"],
             *([name, f"{value:,.0f}", f"{value / binlog:.2f}"] for name, value in ours.items())],
        ) + "\n", flush=True)
        chief = "tape, repacked" if "tape, repacked" in ours else "tape, fresh"
        lines += [
            Result(f"{disk.name} disk, {name}", value / binlog, 1.0 if name == "tape, repacked" else None, less_is_better=True,
                   chief=name == chief, peer=binlog, ours=value, unit="bytes/transaction")
            for name, value in ours.items()
        ]
    return lines
