"""
Redis with its append-only file: the worked example of docs/engines.md.  A FLUSHALL is taken back, and what was acknowledged is
there after a kill.
"""
import os
import socket
import threading

from harness import Cluster, Failed, Skip, check, free_port, gone, iso, kill, main, note, now_us, sandbox, unspill, wait_for

KEYS = 20000
cluster = None


def shell(*words, text=None):
    return cluster.run("shell", *words, text=text).stdout.strip()


def value(command):
    return shell("-e", command)


class Redis(Cluster):
    """Asked by its own client."""

    engine = "redis"

    def answers(self):
        return self.run("shell", "-e", "PING", check=False).stdout.strip() == "PONG"


def a_cluster_of_redis_comes_up_and_wants_its_password():
    global cluster
    port = free_port()
    try:
        unspill().run("create", "cache", "--engine", "redis", "--port", port, "--server-option", "maxmemory=512mb")
    except Failed as error:
        if "there is no 'redis-server'" in str(error):
            raise Skip("Redis is not installed: Debian's redis-server") from error
        raise
    cluster = Redis(unspill(), "cache")
    cluster.wait_running()
    check(value("CONFIG GET appendfsync").split() == ["appendfsync", "always"], "it does not sync always")
    check(value("CONFIG GET maxmemory").split()[1] == str(512 << 20), "the option was not taken")
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"FLUSHALL\r\n")
        check(stranger.recv(100).startswith(b"-NOAUTH"), "anybody may come in by the network")
    check(cluster.json("status")["engine"] == "redis", "status says something else")


def a_flushall_is_taken_back():
    shell(text="".join(f"SET key:{n} {n * n}\n" for n in range(KEYS)))
    check(value("DBSIZE") == str(KEYS), value("DBSIZE"))
    cluster.run("mark", "full")
    check(value("FLUSHALL") == "OK" and value("DBSIZE") == "0", "there is nothing to take back")
    cluster.backtrack("mark:full")
    check(value("DBSIZE") == str(KEYS), value("DBSIZE"))
    check(value("GET key:1234") == str(1234 * 1234), "a value has changed")


def write_until(stop, acknowledged):
    """Numbers, one after the other; those that were acknowledged, and until when."""
    with open(cluster.path("run/auth"), encoding="ascii") as file:
        password = file.read().strip()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(cluster.path("run/server/sock"))
        stream = connection.makefile("rb")
        connection.sendall(f"AUTH {password}\r\n".encode())
        stream.readline()
        while not stop.is_set():
            try:
                connection.sendall(f"RPUSH list {len(acknowledged)}\r\n".encode())
                if not stream.readline().startswith(b":"):
                    return
            except OSError:
                return
            acknowledged.append(now_us())


def what_was_acknowledged_is_there_after_a_kill_of_server_and_keeper():
    for target in ("pid", "keeper_pid"):
        value("DEL list")
        acknowledged, stop = [], threading.Event()
        writer = threading.Thread(target=write_until, args=(stop, acknowledged))
        writer.start()
        wait_for(lambda acknowledged=acknowledged: len(acknowledged) > 2000, 60, "2000 writes")
        status = cluster.status()
        kill(status[target])
        wait_for(lambda pid=status["pid"]: gone(pid), 30, "the server to go")
        stop.set()
        writer.join()
        cluster.revive()
        there = int(value("LLEN list"))
        note(f"{len(acknowledged)} acknowledged, {there} there")
        check(len(acknowledged) <= there <= len(acknowledged) + 1, f"{len(acknowledged)} were acknowledged, {there} are there")


def any_moment_has_what_was_acknowledged_before_it():
    acknowledged, stop = [], threading.Event()
    value("DEL list")
    writer = threading.Thread(target=write_until, args=(stop, acknowledged))
    writer.start()
    wait_for(lambda: len(acknowledged) > 5000, 60, "5000 writes")
    stop.set()
    writer.join()
    for at in (100, 1000, 4000, 2500):
        moment = acknowledged[at]
        cluster.backtrack(iso(moment))
        there = int(value("LLEN list"))
        check(at + 1 <= there <= at + 2, f"{at + 1} were acknowledged at the moment, {there} are there")


def it_goes_out_and_comes_in():
    count = value("DBSIZE")
    target = sandbox("out")
    cluster.run("export", "--to", target)
    done = cluster.unspill.run("import", "second", "--engine", "redis", "--from", cluster.path("mnt/data"), "--port", free_port(), check=False)
    check(done.returncode != 0 and "in use" in done.stderr, done.stderr)
    cluster.unspill.run("import", "second", "--engine", "redis", "--from", target, "--port", free_port())
    check(cluster.unspill.run("shell", "second", "-e", "DBSIZE").stdout.strip() == count, "the copy has something else")
    cluster.unspill.run("delete", "second", "--yes")
    os.mkdir(sandbox("empty"))
    done = cluster.unspill.run("import", "third", "--engine", "redis", "--from", sandbox("empty"), check=False)
    check(done.returncode != 0 and "append-only" in done.stderr, done.stderr)


def a_server_that_cannot_start_says_why():
    done = cluster.unspill.run("create", "bad", "--engine", "redis", "--port", free_port(), "--server-option", "nonsense=1", check=False)
    check(done.returncode != 0 and "nonsense" in done.stderr, done.stderr)


main(
    a_cluster_of_redis_comes_up_and_wants_its_password,
    a_flushall_is_taken_back,
    what_was_acknowledged_is_there_after_a_kill_of_server_and_keeper,
    any_moment_has_what_was_acknowledged_before_it,
    it_goes_out_and_comes_in,
    a_server_that_cannot_start_says_why,
)
