"""file-sync and file-stream: fio in the plain directory and on the mount of a volume without a server."""
import json
import os

from cluster import program, run

from lib import turns
from lib.servers import Volume, create_cluster, processes


def fio(directory, *options):
    """fio's own account of its only group of jobs, each of which has files of its own."""
    # fio takes a job whose name is that of a directory, where it was started, for one job on that file: `bench` was one.
    done = run([program("fio"), "--name=unspill-bench", f"--directory={directory}", "--output-format=json", "--group_reporting",
                "--fallocate=none", *options], timeout=3600)
    # Warnings may come before it.
    return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]


def directories(bench, disk):
    """{column: (an empty directory, processes)}: the plain one, and one on a new volume's mount for each transport, all stopped."""
    plain = os.path.join(disk.directory, "files")
    os.mkdir(plain)
    volumes = {transport: Volume(create_cluster(bench, disk, transport, transport)) for transport in bench.transports}
    found = {"plain": (plain, []), **{name: (volume.directory, processes(volume)) for name, volume in volumes.items()}}
    for _, waiting in found.values():
        turns.stop(waiting)
    return found
