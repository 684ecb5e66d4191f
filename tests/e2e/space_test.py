"""
A disk that runs full: history gives way first, oldest part first, and says so; only then does the database see it,
and it survives that.
"""
import os
import time

from harness import (
    SMALL_SERVER, Ledger, Skip, check, check_tables, main, note, run, sandbox, server_options, small_disk, unspill,
)

MEGABYTE = 1 << 20
cluster = ledger = None
disk = sandbox("disk")


def a_cluster_on_a_small_disk():
    global cluster, ledger
    small_disk(1024)
    cluster = unspill().create(
        "small", "--backtrack-window", "24h", "--dir", os.path.join(disk, "small"), *server_options(*SMALL_SERVER)
    )
    ledger = Ledger(cluster)
    ledger.prepare()


def need_cluster():
    if not cluster:
        raise Skip("no small disk")


def free():
    stat = os.statvfs(disk)
    return stat.f_bavail * stat.f_frsize


def history_gives_way_to_the_living_database_and_the_window_says_so():
    need_cluster()
    first = cluster.status()["horizon"]["time_us"]
    ledger.start("--connections=3", "--pad=20000", "--seconds=300")
    written = 0
    deadline = time.monotonic() + 240
    least = free()
    while time.monotonic() < deadline:
        time.sleep(1)
        least = min(least, free())
        status = cluster.status()
        written = status["now"]["lsn"]
        if written > 1800 * MEGABYTE and status["horizon"]["time_us"] > first:
            break
        trim()
    ledger.stop()
    status = cluster.status()
    note(f"{written / MEGABYTE:.0f} MiB of changes on a disk of 1024; at least {least / MEGABYTE:.0f} MiB stayed free; "
         f"window {status['window']}; {status['last_error']}")
    check(status["horizon"]["time_us"] > first, "history did not give way")
    check(status["window"]["actual_us"] < status["window"]["target_us"], "the window that it says is not the one it has")
    check(written > 1200 * MEGABYTE, "not enough was written to fill the disk")
    failed = [entry for entry in ledger.read().values() if entry[2]]
    check(not failed, f"{len(failed)} transactions failed: the database noticed")
    check_ledger()


def trim():
    """Keep the data small, so that it is history that fills the disk."""
    cluster.sql(
        """
        SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
        START TRANSACTION;
        UPDATE ledger.note SET pad = '' WHERE pad != '' ORDER BY client, n LIMIT 3000;
        COMMIT;
        """
    )


def check_ledger():
    note(f"{ledger.verify()} transactions")
    check_tables(cluster)


def when_nothing_is_left_to_give_the_database_survives_the_full_disk():
    need_cluster()
    filler = os.path.join(disk, "filler")
    ledger.start("--connections=2", "--pad=2000", "--seconds=200")
    before = cluster.status()
    cluster.sql("CREATE TABLE ledger.place (n INT); INSERT INTO ledger.place VALUES (0);"
                "CREATE TABLE ledger.grown (pad VARCHAR(2000))")
    # Somebody else takes all the space there is, and all that becomes free, until the database has met it.
    taken = 0
    full = None
    deadline = time.monotonic() + 240
    with open(filler, "wb", buffering=0) as file:
        while time.monotonic() < deadline and not full:
            taken += take_all(file)
            full = refused_growth()
        check(full, "the database never met the full disk")
        check("is full" in full, f"it was told something else: {full}")
        # What is there can still be changed, in its place, and be committed.
        # (Who takes each byte at the instant in which it is free, every time, stops even that: src/volume/README.md, 7.)
        for i in range(50):
            if i % 10 == 0:
                taken += take_all(file)
            cluster.sql("UPDATE ledger.place SET n = n + 1")
    status = cluster.status()
    note(f"full: {taken / MEGABYTE:.0f} MiB taken, {free() / MEGABYTE:.1f} MiB free; the server is {status['state']};"
         f" {refused()} of the ledger's transactions refused; {status['last_error']}")
    os.unlink(filler)
    ledger.wait_for_acknowledged(50, 120)
    ledger.stop()
    check(cluster.status()["pid"] == before["pid"], "the server did not survive")
    check_ledger()


def take_all(file):
    taken = 0
    try:
        while True:
            taken += file.write(b"x" * 65536)
    except OSError:
        return taken


def refused_growth():
    """The error of a table that cannot grow, or None when it did."""
    done = run(cluster.client("-e", "USE ledger; INSERT INTO grown SELECT REPEAT('x', 2000) FROM seq_1_to_500"), check=False)
    return done.stderr if done.returncode else None


def refused():
    return sum(1 for entry in ledger.read().values() if entry[2])


def a_cluster_that_does_not_fit_is_refused_and_leaves_nothing():
    need_cluster()
    tiny = sandbox("tiny")
    os.mkdir(tiny)
    run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "none", tiny])
    done = cluster.unspill.run("create", "tiny", "--engine", "mariadb", "--dir", os.path.join(tiny, "x"), check=False)
    check(done.returncode != 0, "created on 8 MiB")
    check(len(done.stderr.strip().splitlines()) == 1, f"not one line: {done.stderr!r}")
    check(not os.listdir(tiny), f"left behind: {os.listdir(tiny)}")
    check("tiny" not in cluster.unspill.run("list").stdout, "it is in the list")


main(
    a_cluster_on_a_small_disk,
    history_gives_way_to_the_living_database_and_the_window_says_so,
    when_nothing_is_left_to_give_the_database_survives_the_full_disk,
    a_cluster_that_does_not_fit_is_refused_and_leaves_nothing,
)
