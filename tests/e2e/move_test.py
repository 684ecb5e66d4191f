# ./check: engines
"""
In and out: an existing data directory is taken over and given back, at any moment; no lock-in.
"""
import hashlib
import os
import time

from harness import (
    ENGINE, Ledger, check, check_pages, cluster_of, fingerprint, free_port, iso, main, mounts_below, note, now_us, plain_server,
    sandbox, skip_without_engine, unspill,
)

cluster = ledger = source = None
PASSWORDLESS = ("--skip-grant-tables",) if ENGINE == "mariadb" else ()


def digest(directory):
    """Every byte, name, owner and mode below."""
    total = hashlib.sha256()
    for folder, folders, names in sorted(os.walk(directory)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            total.update(f"{path} {stat.st_mode} {stat.st_uid} {stat.st_gid} {stat.st_size} {stat.st_mtime_ns}\n".encode())
            with open(path, "rb") as file:
                total.update(file.read())
    return total.hexdigest()


def serve(directory):
    """A plain server on an exported data directory."""
    server = plain_server(sandbox("served"), *PASSWORDLESS)
    os.makedirs(server.directory, exist_ok=True)
    if server.user:
        os.chown(server.directory, os.stat(directory).st_uid, os.stat(directory).st_gid)
    with open(server.defaults, "w", encoding="utf-8") as file:
        file.write(f"[client]\nsocket={server.socket}\nuser=root\n")
    server.data = directory
    server.start()
    return server


def an_existing_server_with_data():
    global source, ledger
    skip_without_engine()
    source = plain_server(sandbox("source"))
    source.create()
    source.start()
    ledger = Ledger(source)
    ledger.prepare()
    ledger.start("--connections=4")
    ledger.wait_for_acknowledged(2000)
    ledger.stop()
    if ENGINE == "postgresql":
        source.sql("CREATE ROLE app LOGIN PASSWORD 'app'; CREATE SCHEMA \"sh\u00f6p\"; CREATE TABLE \"sh\u00f6p\".\"t\u00e4ble\" (a INT PRIMARY KEY); "
                   "INSERT INTO \"sh\u00f6p\".\"t\u00e4ble\" VALUES (1); CREATE UNLOGGED TABLE ledger.unlogged (a INT)")
        return
    source.sql("CREATE USER app@localhost IDENTIFIED BY 'app'; GRANT ALL ON *.* TO app@localhost")
    # Two entries: a name outside the usual letters, and another engine.
    source.sql("CREATE DATABASE `sh\u00f6p`; CREATE TABLE `sh\u00f6p`.`t\u00e4ble` (a INT PRIMARY KEY); "
               "INSERT INTO `sh\u00f6p`.`t\u00e4ble` VALUES (1); "
               "CREATE TABLE ledger.aria (a INT) ENGINE=Aria; INSERT INTO ledger.aria VALUES (7)")


def import_takes_it_over_and_leaves_the_source_untouched():
    global cluster
    content = fingerprint(source, ["ledger", "sh\u00f6p"])
    source.stop()
    before = digest(source.data)
    unspill().run("import", "moved", "--engine", ENGINE, "--from", source.data, "--port", free_port())
    check(digest(source.data) == before, "the source changed")
    cluster = cluster_of("moved")
    cluster.wait_running()
    check(fingerprint(cluster, ["ledger", "sh\u00f6p"]) == content, "the content changed on its way")
    users = "pg_roles WHERE rolname = 'app'" if ENGINE == "postgresql" else "mysql.global_priv WHERE user = 'app'"
    check(cluster.value(f"SELECT COUNT(*) FROM {users}") == "1", "the users are gone")
    ledger.server = cluster
    note(f"{ledger.verify()} transactions moved in")


def an_imported_cluster_goes_back_like_any_other():
    content = fingerprint(cluster)
    before = now_us()
    time.sleep(0.05)
    cluster.sql("DROP TABLE ledger.note")
    cluster.backtrack(iso(before))
    check(fingerprint(cluster) == content, "the content is not what it was")


def a_crashed_source_is_taken_over_as_well():
    source.start()
    crashed = Ledger(source)
    crashed.log = ledger.log
    crashed.start("--connections=2")
    crashed.wait_for_acknowledged(200)
    source.kill()
    crashed.process.terminate()
    crashed.process.wait()
    unspill().run("import", "crashed", "--engine", ENGINE, "--from", source.data, "--port", free_port())
    copy = cluster_of("crashed")
    copy.wait_running()
    crashed.server = copy
    crashed.verify()
    copy.run("delete", "--yes")


def export_gives_back_what_is_there_now():
    target = sandbox("now")
    content = fingerprint(cluster)
    cluster.run("export", "--to", target)
    check_pages(target, system=False)
    server = serve(target)
    try:
        check(fingerprint(server) == content, "the export has something else")
    finally:
        server.stop()


def export_at_a_moment_gives_what_was_there_then():
    log = Ledger(cluster, "export")
    cluster.drop_schema("ledger")
    log.prepare()
    log.start("--connections=3")
    log.wait_for_acknowledged(300)
    moment = now_us()
    log.wait_for_acknowledged(300)
    target = sandbox("then")
    # The server goes on while its past is copied out.
    cluster.run("export", "--to", target, "--at", iso(moment))
    log.stop()
    server = serve(target)
    try:
        log.server = server
        note(f"{log.verify(moment)} transactions at the moment")
    finally:
        server.stop()
    log.server = cluster
    note(f"{log.verify()} transactions now")


def a_deleted_cluster_leaves_nothing():
    directory = cluster.directory
    cluster.run("delete", "--yes")
    check(not os.path.exists(directory), "the directory is there")
    check(not [c for c in os.listdir(cluster.unspill.home) if not c.startswith(".")], "the list is not empty")
    check(not mounts_below(directory), "still mounted")


main(
    an_existing_server_with_data,
    import_takes_it_over_and_leaves_the_source_untouched,
    an_imported_cluster_goes_back_like_any_other,
    a_crashed_source_is_taken_over_as_well,
    export_gives_back_what_is_there_now,
    export_at_a_moment_gives_what_was_there_then,
    a_deleted_cluster_leaves_nothing,
)
