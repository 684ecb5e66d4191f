"""
What people get wrong: one clear line each, a non-zero exit, and nothing changed.
"""
import os
import socket
import subprocess
import time

from harness import (
    Cluster, PlainServer, Skip, Unspill, check, find_binary, fingerprint, free_port, main,
    mounts_below, note, program, run, sandbox, unspill, TOP,
)

cluster = None


def tree(directory):
    """Names, sizes, owners and modes of everything below, without what changes by itself in a running cluster."""
    found = {}
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name not in ("run", "mnt", "volume")]
        for name in names + folders:
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            found[path] = (stat.st_mode, stat.st_uid, stat.st_size if os.path.isfile(path) else 0)
    return found


def what_there_is():
    return tree(cluster.unspill.home), fingerprint(cluster), cluster.status()["window"]["target_us"], marks()


def marks():
    return [mark["name"] for mark in cluster.json("moments", "--since", "1h", "--step", "1m")["marks"]]


def refused(*words, says, how=None):
    """The command fails with one line that has each of the words in `says`, and leaves everything as it was."""
    before = what_there_is()
    tool = how or cluster.unspill
    done = tool.run(*words, check=False, timeout=60)
    text = done.stderr.strip()
    what = f"unspill {' '.join(map(str, words))}: exit {done.returncode}, says {done.stderr!r}"
    check(done.returncode != 0, f"not refused: {what} {done.stdout!r}")
    check(done.returncode < 100, f"died: {what}")
    check(len(text.splitlines()) == 1, f"not one line: {what}")
    for word in says:
        check(word.lower() in text.lower(), f"'{word}' is missing: {what}")
    check(what_there_is() == before, f"something changed: {what}")
    note(text)
    return text


def a_cluster_to_be_wrong_about():
    global cluster
    cluster = unspill().create("shop", "--backtrack-window", "1h")
    cluster.sql("CREATE DATABASE ledger; USE ledger; CREATE TABLE t SELECT seq FROM seq_1_to_1000")
    cluster.run("mark", "here")


def a_moment_before_the_horizon_is_refused_and_the_earliest_is_told():
    text = refused("backtrack", "shop", "--to", "3 days ago", "--yes", says=["earliest"])
    year = time.strftime("%Y")
    check(year in text, f"no time in: {text}")


def a_moment_in_the_future_is_refused():
    refused("backtrack", "shop", "--to", "2099-01-01T00:00:00Z", "--yes", says=["future"])


def an_unknown_mark_is_refused_and_the_known_ones_are_told():
    refused("backtrack", "shop", "--to", "mark:elsewhere", "--yes", says=["elsewhere", "here"])


def a_mark_that_exists_is_refused():
    refused("mark", "shop", "here", says=["here"])


def a_position_that_never_was_is_refused():
    refused("backtrack", "shop", "--to", "lsn:99999999999999", "--yes", says=["future"])


def a_time_that_is_no_time_is_refused():
    for text in ("yesteryear", "2026-13-45", "10 parsecs ago", "", "-1", "2026-11-22T25:00:00Z"):
        refused("backtrack", "shop", "--to", text, "--yes", says=[])


def a_backtrack_without_a_moment_or_without_a_yes_is_refused():
    refused("backtrack", "shop", "--yes", says=["--to"])
    refused("backtrack", "shop", "--to", "1 second ago", says=["--yes"])


def a_window_with_a_unit_that_does_not_exist_is_refused():
    refused("modify", "shop", "--backtrack-window", "3 fortnights", says=["window"])
    refused("create", "other", "--engine", "mariadb", "--backtrack-window", "12q", says=["12q"])


def a_name_that_exists_is_refused():
    refused("create", "shop", "--engine", "mariadb", says=["shop", "exists"])


def a_name_that_cannot_be_one_is_refused():
    for name in ("../x", "a/b", "", "7up", "x" * 100, "a b"):
        refused("create", name, "--engine", "mariadb", says=[])


def a_cluster_that_there_is_not_is_refused_and_those_that_there_are_are_told():
    for verb in ("status", "start", "stop", "restart", "verify", "repack", "backtracks", "moments", "shell"):
        refused(verb, "nowhere", says=["nowhere", "shop"])
    refused("delete", "nowhere", "--yes", says=["nowhere"])


def an_engine_that_there_is_not_is_refused():
    refused("create", "other", "--engine", "oracle", says=["oracle", "mariadb"])


def an_unknown_option_or_command_is_refused():
    refused("status", "shop", "--frobnicate", says=["frobnicate"])
    refused("frobnicate", says=["frobnicate"])


def a_port_that_is_taken_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused("create", "other", "--engine", "mariadb", "--port", port, says=[str(port)])
    # The other cluster's own port, too.
    port = cluster.status()["endpoint"]["port"]
    refused("create", "other", "--engine", "mariadb", "--port", port, says=[str(port)])
    for port in ("70000", "-1", "http", "0x50"):
        refused("create", "other", "--engine", "mariadb", "--port", port, says=[port])


def an_address_that_is_not_ours_is_refused():
    refused("create", "other", "--engine", "mariadb", "--bind", "203.0.113.7", says=["203.0.113.7"])
    refused("create", "other", "--engine", "mariadb", "--bind", "not an address", says=["not an address"])


def a_directory_that_is_not_empty_is_refused_and_left_alone():
    directory = sandbox("full")
    os.mkdir(directory)
    with open(os.path.join(directory, "precious"), "w", encoding="utf-8") as file:
        file.write("mine")
    before = tree(directory)
    refused("create", "other", "--engine", "mariadb", "--dir", directory, says=[directory, "empty"])
    check(tree(directory) == before, "the directory changed")
    refused("export", "shop", "--to", directory, says=[directory, "empty"])
    check(tree(directory) == before, "the directory changed")


def a_directory_that_cannot_be_made_is_refused():
    refused("create", "other", "--engine", "mariadb", "--dir", "/proc/nowhere/x", says=["/proc/nowhere"])


def an_import_from_what_is_no_data_directory_is_refused():
    refused("import", "other", "--from", sandbox("nothing"), says=[sandbox("nothing")])
    os.mkdir(sandbox("empty"))
    refused("import", "other", "--from", sandbox("empty"), says=[sandbox("empty")])
    refused("import", "shop", "--from", sandbox("empty"), says=["shop"])


def an_import_from_under_a_running_server_is_refused():
    source = PlainServer(sandbox("source"))
    source.create()
    source.start()
    try:
        refused("import", "other", "--from", source.data, says=[source.data])
    finally:
        source.stop()


def without_dev_fuse_creating_is_refused():
    # In a mount namespace of our own there is a /dev without it.
    script = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec \"$@\""

    class Without(Unspill):
        def run(self, *args, timeout=600, check=True, text=None):
            command = ["unshare", "-m", "sh", "-c", script, "sh", self.binary, *map(str, args)]
            return run(command, timeout=timeout, check=check, text=text, env=self.env)

    if os.geteuid() != 0:
        raise Skip("needs root")
    without = Without(find_binary(TOP), sandbox("home"))
    refused("create", "other", "--engine", "mariadb", how=without, says=["/dev/fuse"])


def somebody_who_is_not_root_and_may_not_use_fuse_is_refused():
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")

    class Somebody(Unspill):
        def run(self, *args, timeout=600, check=True, text=None):
            command = [program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", self.binary]
            return run(command + [str(arg) for arg in args], timeout=timeout, check=check, text=text, env=self.env)

    somebody = Somebody(find_binary(TOP), sandbox("home"))
    # Somebody else's cluster: may neither be asked nor changed.
    refused("backtrack", "shop", "--to", "1 second ago", "--yes", how=somebody, says=[])
    refused("create", "other", "--engine", "mariadb", how=somebody, says=[sandbox("home")])


def the_control_socket_speaks_to_its_owner_only():
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")
    code = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        "try:\n    s.connect(sys.argv[1]); s.sendall(b'{\"unspill\":1,\"do\":\"status\"}\\n'); print(s.recv(4096).decode())\n"
        "except OSError as e:\n    print('refused', e)\n"
    )
    out = subprocess.run(
        ["/usr/bin/python3", "-c", code, cluster.path("run/control.sock")], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    check("refused" in out or "forbidden" in out, f"answered: {out}")
    mode = os.stat(cluster.path("run/client.cnf")).st_mode & 0o777
    check(mode & 0o077 == 0, f"the password file has mode {mode:o}")


def the_socket_survives_nonsense():
    lines = [b"", b"{", b"[]", b"null", b'{"unspill": 2, "do": "status"}', b'{"unspill": 1}', b'{"unspill": 1, "do": 7}',
             b'{"unspill": 1, "do": "backtrack", "to": {"time_us": "x"}}', b"\xff\xfe", b"x" * (2 << 20),
             b'{"unspill": 1, "do": "backtrack", "to": {"lsn": -1}}', b'{"unspill": 1, "do": "nonsense"}']
    for line in lines:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(cluster.path("run/control.sock"))
            try:
                client.sendall(line + b"\n")
                answer = client.recv(65536)
            except OSError:
                answer = b""
            check(b'"ok": true' not in answer and b'"ok":true' not in answer, f"{line[:80]}: {answer}")
    check(cluster.status()["state"] == "running", "the keeper is gone")


def two_keepers_never_open_one_volume():
    keeper = cluster.status()["keeper_pid"]
    done = cluster.unspill.run("keep", cluster.directory, check=False, timeout=30)
    check(done.returncode != 0, "a second keeper runs")
    lines = [line for line in done.stderr.strip().splitlines() if line]
    check(len(lines) >= 1, "it said nothing")
    check(cluster.status()["keeper_pid"] == keeper, "another keeper answers now")
    check(cluster.value("SELECT COUNT(*) FROM ledger.t") == "1000", "the table is not what it was")


def many_starts_at_once_make_one_keeper():
    cluster.run("stop")
    starts = [cluster.unspill.start("start", "shop", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(6)]
    for start in starts:
        start.wait(60)
    cluster.wait_running()
    pids = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if b"keep" in words and cluster.directory.encode() in words and b"--guardian" not in words:
                pids.add(int(entry))
        except OSError:
            pass
    server = cluster.status()["pid"]
    check(mounts_below(cluster.directory) == [cluster.path("mnt")], f"mounts: {mounts_below(cluster.directory)}")
    check(len(pids) <= 1, f"keepers {pids}, server {server}")
    check(cluster.value("SELECT COUNT(*) FROM ledger.t") == "1000", "the table is not what it was")


def every_command_has_help_and_a_manual_page():
    words = cluster.unspill.run("--help").stdout
    for verb in ("create", "list", "status", "start", "stop", "restart", "delete", "shell", "modify", "moments", "mark",
                 "backtrack", "backtracks", "import", "export", "verify"):
        check(verb in words, f"{verb} is not in unspill --help")
        text = cluster.unspill.run(verb, "--help").stdout
        check("unspill " + verb in text, f"unspill {verb} --help: {text}")


def what_somebody_mounted_in_a_cluster_is_not_deleted_with_it():
    if os.geteuid() != 0:
        raise Skip("needs root")
    other = unspill().create("second")
    foreign = other.path("volume/foreign")
    os.mkdir(foreign)
    run(["mount", "-t", "tmpfs", "none", foreign])
    with open(os.path.join(foreign, "precious"), "w", encoding="utf-8") as file:
        file.write("mine")
    begun = time.monotonic()
    refused("delete", "second", "--yes", says=["mounted", foreign, "nothing was done"])
    # What keeps files for a while only is waited for for twenty seconds.
    check(time.monotonic() - begun < 15, "it waited")
    check(other.status()["state"] == "running", "nothing was done, and yet")
    check(os.path.exists(os.path.join(foreign, "precious")), "it is gone")
    run(["umount", foreign])
    other.run("delete", "--yes")
    check(not os.path.exists(other.directory), "something is left")


def a_cluster_on_an_overlay_as_in_a_container_is_deleted_whole():
    if os.geteuid() != 0:
        raise Skip("needs root")
    for name in ("lower", "memory", "overlay"):
        os.mkdir(sandbox(name))
    run(["mount", "-t", "tmpfs", "-o", "size=1500m", "none", sandbox("memory")])
    os.mkdir(sandbox("memory/upper"))
    os.mkdir(sandbox("memory/work"))
    layers = f"lowerdir={sandbox('lower')},upperdir={sandbox('memory/upper')},workdir={sandbox('memory/work')}"
    run(["mount", "-t", "overlay", "-o", layers, "none", sandbox("overlay")])
    os.chmod(sandbox("overlay"), 0o755)
    other = unspill().create("second", "--dir", sandbox("overlay/second"))
    other.run("delete", "--yes")
    check(not os.listdir(sandbox("overlay")), "something is left")


def a_tmpdir_of_ones_own_is_no_hindrance():
    private = sandbox("private")
    os.mkdir(private, mode=0o700)
    tool = unspill()
    tool.env["TMPDIR"] = private
    tool.create("second").run("delete", "--yes")


def a_free_port_is_found_when_none_is_asked_for():
    unspill().run("create", "second")
    other = Cluster(unspill(), "second")
    check(other.status()["endpoint"]["port"] != cluster.status()["endpoint"]["port"], "the same port twice")
    other.run("delete", "--yes")
    third = unspill().create("third", "--port", free_port())
    third.run("delete", "--yes")
    check([c for c in os.listdir(cluster.unspill.home) if not c.startswith(".")] == ["shop"], "something is left")


main(
    a_cluster_to_be_wrong_about,
    a_moment_before_the_horizon_is_refused_and_the_earliest_is_told,
    a_moment_in_the_future_is_refused,
    an_unknown_mark_is_refused_and_the_known_ones_are_told,
    a_mark_that_exists_is_refused,
    a_position_that_never_was_is_refused,
    a_time_that_is_no_time_is_refused,
    a_backtrack_without_a_moment_or_without_a_yes_is_refused,
    a_window_with_a_unit_that_does_not_exist_is_refused,
    a_name_that_exists_is_refused,
    a_name_that_cannot_be_one_is_refused,
    a_cluster_that_there_is_not_is_refused_and_those_that_there_are_are_told,
    an_engine_that_there_is_not_is_refused,
    an_unknown_option_or_command_is_refused,
    a_port_that_is_taken_is_refused,
    an_address_that_is_not_ours_is_refused,
    a_directory_that_is_not_empty_is_refused_and_left_alone,
    a_directory_that_cannot_be_made_is_refused,
    an_import_from_what_is_no_data_directory_is_refused,
    an_import_from_under_a_running_server_is_refused,
    without_dev_fuse_creating_is_refused,
    somebody_who_is_not_root_and_may_not_use_fuse_is_refused,
    the_control_socket_speaks_to_its_owner_only,
    the_socket_survives_nonsense,
    two_keepers_never_open_one_volume,
    many_starts_at_once_make_one_keeper,
    every_command_has_help_and_a_manual_page,
    what_somebody_mounted_in_a_cluster_is_not_deleted_with_it,
    a_cluster_on_an_overlay_as_in_a_container_is_deleted_whole,
    a_tmpdir_of_ones_own_is_no_hindrance,
    a_free_port_is_found_when_none_is_asked_for,
)
