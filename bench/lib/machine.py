"""The machine: said in words, its disks, its switches."""
import contextlib
import mmap
import os
import platform
import re
import shutil
import statistics
import time

from cluster import Failed, program, run

URING_SWITCH = "/sys/module/fuse/parameters/enable_uring"
GIB = 1 << 30


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def found(pattern, text):
    match = re.search(pattern, text, re.M)
    return match.group(1).strip() if match else ""


# --- Switches -------------------------------------------------------------------------------------


@contextlib.contextmanager
def uring_switch_kept():
    before = read(URING_SWITCH)
    try:
        yield
    finally:
        if before and read(URING_SWITCH) != before:
            set_uring_switch(before)


def set_uring_switch(value):
    with open(URING_SWITCH, "w", encoding="utf-8") as file:
        file.write(value)


def drop_caches():
    """What is clean goes.  No sync() here: it would wait for mounts whose keepers are stopped."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="utf-8") as file:
        file.write("3")


# --- In words -------------------------------------------------------------------------------------


def mount_of(directory):
    """(device, filesystem) of the directory's mount."""
    best = ("", "", "")
    for line in read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if (directory + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
            best = (point, right.split()[1], right.split()[0])
    return best[1], best[2]


def has_journal(device):
    """Of an ext4 that is mounted."""
    return read(f"/sys/fs/ext4/{os.path.basename(os.path.realpath(device))}/journal_task") not in ("", "<none>")


def filesystem_words(directory):
    device, kind = mount_of(os.path.realpath(directory))
    if kind == "ext4":
        kind += " with a journal" if has_journal(device) else " without a journal"
    return kind


def sync_us(directory):
    """Median time of a 4 KiB O_DIRECT, O_DSYNC write in place."""
    path = os.path.join(directory, "sync-probe")
    block = mmap.mmap(-1, 4096)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT | os.O_DSYNC, 0o600)
    try:
        times = []
        for number in range(300):
            start = time.monotonic()
            os.pwrite(fd, block, number % 100 * 4096)
            times.append(time.monotonic() - start)
        return statistics.median(times[100:]) * 1e6
    finally:
        os.close(fd)
        os.unlink(path)
        block.close()


def version_words():
    said = {
        "MariaDB": found(r"Ver ([0-9.]+)", run([program("mariadbd"), "--version"]).stdout),
        "sysbench": found(r"sysbench ([0-9.]+)", run([program("sysbench"), "--version"]).stdout),
        "fio": found(r"fio-([0-9.]+)", run([program("fio"), "--version"]).stdout),
    }
    return ", ".join(f"{name} {version}" for name, version in said.items())


def describe(directory):
    cpu = found(r"model name\s*: (.*)", read("/proc/cpuinfo")) or platform.machine()
    virtual = ", virtual machine" if " hypervisor" in read("/proc/cpuinfo") else ""
    memory = int(found(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))) / (1 << 20)
    return (
        f"{os.cpu_count()} cores ({cpu}{virtual}), {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]};"
        f" {filesystem_words(directory)}, a 4 KiB write is durable in {sync_us(directory):.0f} us (median); {version_words()}"
    )


def load_average():
    return os.getloadavg()[0]


# --- Disks ----------------------------------------------------------------------------------------


class Disk:
    """A directory to measure in."""

    def __init__(self, name, directory):
        self.name, self.directory = name, directory

    def empty(self):
        for entry in os.scandir(self.directory):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)

    def close(self):
        pass


class JournaledDisk(Disk):
    """An ext4 with a journal in a loop device; tools/sandbox sweeps it away should we not get to it."""

    def __init__(self, directory, bytes_wanted):
        super().__init__("journaled", os.path.join(directory, "journaled"))
        self.image = os.path.join(directory, "journaled.image")
        size = min(bytes_wanted, shutil.disk_usage(directory).free // 2) >> 20 << 20
        # Written once, so that no side pays for the image's own growth.
        run([program("dd"), "if=/dev/zero", f"of={self.image}", "bs=1M", f"count={size >> 20}", "oflag=direct"], timeout=3600)
        run([program("mkfs.ext4"), "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
             "-O", "has_journal", self.image])
        self.device = run([program("losetup"), "--find", "--show", "--direct-io=on", self.image]).stdout.strip()
        os.mkdir(self.directory)
        run([program("mount"), "-t", "ext4", self.device, self.directory])
        os.rmdir(os.path.join(self.directory, "lost+found"))
        os.chmod(self.directory, 0o755)
        if read(f"/sys/block/{os.path.basename(self.device)}/loop/dio") != "1":
            raise Failed(f"{self.device} does not go past the page cache")
        if not has_journal(self.device):
            raise Failed(f"the ext4 on {self.device} has no journal")

    def close(self):
        run([program("umount"), self.directory])
        run([program("losetup"), "-d", self.device])
        os.unlink(self.image)


class BtrfsDisk(Disk):
    """A btrfs in a loop device, for what copies by reflinks; a context, as it is one benchmark's."""

    def __init__(self, directory, megabytes):
        super().__init__("btrfs", os.path.join(directory, "btrfs"))
        self.image = os.path.join(directory, "btrfs.image")
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        run([program("mkfs.btrfs"), "-q", self.image])
        self.device = run([program("losetup"), "--find", "--show", self.image]).stdout.strip()
        os.mkdir(self.directory)
        run([program("mount"), "-t", "btrfs", self.device, self.directory])
        os.chmod(self.directory, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run([program("umount"), self.directory])
        run([program("losetup"), "-d", self.device])
        os.rmdir(self.directory)
        os.unlink(self.image)
