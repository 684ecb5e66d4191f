# ./check: engines
"""
A database goes back to random moments of a recorded run, and holds exactly what the clients had been promised
by then.  The clients' clock is the volume's, so the lists say what belongs to a moment to the microsecond.
"""
import random
import time

from harness import LONG, SAMPLE, History, Ledger, check, create, fingerprint, iso, main, note, now_us

MOMENTS = 200 if LONG else 18 if SAMPLE else 30
cluster = None


def begin(name):
    """A fresh ledger in the one cluster."""
    global cluster
    if cluster is None:
        cluster = create("moments", "--backtrack-window", "2h")
    cluster.drop_schema("ledger")
    ledger = Ledger(cluster, name)
    ledger.prepare()
    return ledger


def record(ledger, seconds, *options):
    """Returns the time between which and now there is something to go back to."""
    start = now_us()
    ledger.start(*options)
    time.sleep(seconds)
    ledger.stop()
    return start


def go_to(ledger, history, moment_us):
    result = cluster.backtrack(iso(moment_us))
    check(result["reached"]["time_us"] <= moment_us, f"asked for {moment_us}, reached {result['reached']}")
    history.jump(result["at"]["time_us"], moment_us)
    return ledger.verify(moment_us, history)


def visit(ledger, start, count):
    end = now_us()
    history = History()
    content = fingerprint(cluster)
    sizes = []
    begin_s = time.monotonic()
    for moment_us in random.sample(range(start, end), count):
        sizes.append(go_to(ledger, history, moment_us))
    took = (time.monotonic() - begin_s) / count
    note(f"{count} moments, {min(sizes)} to {max(sizes)} transactions, {took:.2f} s each with its check")
    check(max(sizes) > min(sizes), "every moment looks the same")
    go_to(ledger, history, end)
    check(fingerprint(cluster) == content, "the present is not what it was")


def one_client_finds_at_each_of_many_moments_exactly_what_it_had_been_promised():
    ledger = begin("serial")
    start = record(ledger, 10 if LONG else 6, "--connections=1")
    visit(ledger, start, MOMENTS)


def several_clients_find_at_each_moment_what_each_had_been_promised():
    ledger = begin("several")
    start = record(ledger, 8 if LONG else 5, "--connections=6")
    visit(ledger, start, MOMENTS // 3)


def back_and_forth_with_new_writes_in_between_follows_the_history_of_each_moment():
    ledger = begin("branches")
    start = record(ledger, 2, "--connections=2")
    history = History()
    for _ in range(40 if LONG else 8):
        # Anywhere in the past: also into what an earlier backtrack has abandoned.
        moment_us = random.randrange(start, now_us())
        go_to(ledger, history, moment_us)
        record(ledger, 0.7, "--connections=2")
        time.sleep(0.01)
        ledger.verify(now_us(), history)


def a_dropped_and_a_truncated_table_come_back_and_go_again():
    begin("ddl")
    cluster.make_numbers("ddl", "t", 50000)
    whole = fingerprint(cluster, ["ddl"])
    before = now_us()
    time.sleep(0.05)
    cluster.sql("TRUNCATE TABLE ddl.t")
    truncated = now_us()
    time.sleep(0.05)
    cluster.drop_schema("ddl")
    dropped = now_us()
    time.sleep(0.05)

    cluster.backtrack(iso(before))
    check(fingerprint(cluster, ["ddl"]) == whole, "the table is not what it was")
    cluster.backtrack(iso(truncated))
    check(cluster.value("SELECT COUNT(*) FROM ddl.t") == "0", "the truncated table is not empty")
    cluster.backtrack(iso(dropped))
    check(not cluster.has_schema("ddl"), "the dropped database is there")
    cluster.backtrack(iso(before))
    check(fingerprint(cluster, ["ddl"]) == whole, "the table is not what it was, the second time")


main(
    one_client_finds_at_each_of_many_moments_exactly_what_it_had_been_promised,
    several_clients_find_at_each_moment_what_each_had_been_promised,
    back_and_forth_with_new_writes_in_between_follows_the_history_of_each_moment,
    a_dropped_and_a_truncated_table_come_back_and_go_again,
)
