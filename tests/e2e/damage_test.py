"""
Bytes flipped, files cut, files gone, at random, on copies of a stopped cluster: verify finds every one and names the
place; starting it says what is lost, and what it serves is never made up.
"""
import os
import random
import shutil
import struct

from harness import (
    LONG, SMALL_SERVER, Cluster, Ledger, check, fingerprint, main, note, run, sandbox, server_options, unspill, wait_for,
)

TRIALS = 300 if LONG else 20
content = None


def a_cluster_with_a_tape_packs_checkpoints_and_a_base_is_stopped():
    global content
    cluster = unspill().create("damage", "--backtrack-window", "1h", *server_options(*SMALL_SERVER))
    ledger = Ledger(cluster)
    ledger.prepare()
    ledger.start("--connections=4", "--pad=4000")
    ledger.wait_for_acknowledged(3000)
    # A base to be damaged comes from a fold; a tape from what comes after it.
    cluster.run("modify", "--backtrack-window", "1s")
    wait_for(lambda: cluster.status()["bytes"]["base"] > 0, 120, "a fold")
    cluster.run("modify", "--backtrack-window", "1h")
    # Of that, too, a part is packed.
    end = cluster.status()["now"]["lsn"] + 160 * 1048576
    wait_for(lambda: cluster.status()["now"]["lsn"] > end, 120, "more tape")
    cluster.run("repack")
    ledger.wait_for_acknowledged(2000)
    ledger.stop()
    content = fingerprint(cluster)
    cluster.run("stop")
    done = cluster.run("verify", check=False)
    check(done.returncode == 0, f"verify of what is whole: {done.stdout}{done.stderr}")
    sizes = {}
    for path in files(cluster.path("volume")):
        kind = os.path.relpath(path, cluster.path("volume")).split("/")[0]
        sizes[kind] = sizes.get(kind, 0) + os.path.getsize(path)
    note(f"files: {sizes}")
    check({"tape", "ckpt", "base", "volume"} <= set(sizes), f"not all kinds of files are there: {sizes}")
    check(any(path.endswith(".pack") for path in files(cluster.path("volume"))), "there is no pack")


def files(volume):
    for folder, _, names in sorted(os.walk(volume)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            # Spares hold nothing.
            if "spare" not in name and not name.endswith((".tmp", "lock")):
                yield path


def last_used(path):
    """Where the file's content ends: a segment is made longer than what is in it."""
    size = os.path.getsize(path)
    if not path.endswith(".seg"):
        return size
    index = path[:-4] + ".idx"
    if os.path.exists(index):
        with open(index, "rb") as file:
            lsn, end = struct.unpack("<16xQQ", file.read(32))
        return min(end - lsn, size)
    return end_of_records(path)


def end_of_records(path):
    """A segment's records say where they lie: a recycled one has old bytes behind them, or nothing else (docs/format.md)."""
    first, at = int(os.path.basename(path)[:-4], 16), 0
    with open(path, "rb") as file:
        data = file.read()
    while at + 48 <= len(data) and struct.unpack_from("<Q", data, at + 8)[0] == first + at:
        meta, size = struct.unpack_from("<II", data, at + 32)
        at += (48 + (meta + 3) // 4 * 4 + (size + 4095) // 4096 * 4 + size + 7) // 8 * 8
    return min(at, len(data))


def rest_matters(file, offset):
    file.seek(offset)
    return any(block.strip(b"\0") for block in iter(lambda: file.read(1 << 20), b""))


def used_offset(path):
    """A random place that has data in it."""
    end = last_used(path)
    with open(path, "rb") as file:
        for _ in range(200):
            offset = random.randrange(end)
            file.seek(offset // 4096 * 4096)
            # A hole of the base holds nothing, and may be given back; so may zeros at its end.
            if not path.endswith(".dat") or (file.read(4096).strip(b"\0") and rest_matters(file, offset)):
                return offset
    return None


def copy():
    """A fresh copy of the cluster in a home of its own."""
    target = sandbox("copy")
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    run(["cp", "-a", "--sparse=always", sandbox("home/damage"), target])
    return Cluster(unspill("copy"), "damage")


def damage(volume):
    """Returns (what was done, the file)."""
    candidates = [path for path in files(volume) if last_used(path) > 0]
    # Each kind as often as the others, however many files it has.
    kind = random.choice(sorted({os.path.dirname(path) for path in candidates}))
    path = random.choice([path for path in candidates if os.path.dirname(path) == kind])
    # Whether there was a checkpoint or an index nobody remembers: they only save time.
    removals = [] if kind.endswith("ckpt") or path.endswith(".idx") else ["remove"]
    how = random.choice(["flip", "flip", "flip", "cut", "scribble", *removals])
    offset = used_offset(path)
    if offset is None:
        return None
    if how == "remove":
        os.unlink(path)
    elif how == "cut":
        os.truncate(path, offset)
    else:
        size = 1 if how == "flip" else random.choice([16, 512, 5000])
        size = min(size, last_used(path) - offset)
        with open(path, "r+b") as file:
            file.seek(offset)
            old = file.read(size)
            new = bytes([old[0] ^ (1 << random.randrange(8))]) if how == "flip" else random.randbytes(size)
            file.seek(offset)
            file.write(new)
    return f"{how} {os.path.relpath(path, volume)} at {offset}", os.path.relpath(path, volume)


def verify_finds_every_damage_and_names_the_file():
    missed = []
    for _ in range(TRIALS):
        cluster = copy()
        done_to = damage(cluster.path("volume"))
        if not done_to:
            continue
        what, name = done_to
        done = cluster.run("verify", check=False, timeout=120)
        text = done.stdout + done.stderr
        if done.returncode == 0:
            missed.append(f"{what}: not found")
        elif os.path.basename(name).split(".")[0] not in text and "missing" not in text:
            missed.append(f"{what}: found, but not named: {text}")
        elif done.returncode > 100:
            missed.append(f"{what}: died: {done.returncode} {text}")
        cluster.run("stop", check=False)
    check(not missed, f"{len(missed)} of {TRIALS}:\n" + "\n".join(missed))


def what_starts_after_damage_serves_what_was_there_or_says_what_is_lost():
    served = refused = failed = 0
    for _ in range(TRIALS // 4):
        cluster = copy()
        done_to = damage(cluster.path("volume"))
        if not done_to:
            continue
        what, _ = done_to
        done = cluster.run("start", check=False, timeout=180)
        if done.returncode != 0:
            check(done.returncode < 100, f"{what}: died: {done.stderr}")
            check(done.stderr.strip(), f"{what}: refused without a word")
            refused += 1
        else:
            try:
                same = fingerprint(cluster)
            except Exception as error:  # pylint: disable=broad-except
                # Bytes that cannot be had are an error to the server, which may then go down.
                note(f"{what}: {str(error).splitlines()[-1]}")
                failed += 1
            else:
                check(same == content, f"{what}: other content is served:\n{same}\ninstead of\n{content}")
                served += 1
        cluster.run("stop", check=False, timeout=120)
    note(f"served {served}, refused {refused}, server refused {failed}")


main(
    a_cluster_with_a_tape_packs_checkpoints_and_a_base_is_stopped,
    verify_finds_every_damage_and_names_the_file,
    what_starts_after_damage_serves_what_was_there_or_says_what_is_lost,
)
