"""file-sync and file-stream: fio in the plain directory and on the mount of a volume without a server."""
import json
import os

from cluster import program, run

from lib.servers import Volume, create_cluster


def fio(directory, *options):
    """fio's own account of its only group of jobs."""
    done = run([program("fio"), "--name=bench", f"--directory={directory}", "--output-format=json", "--group_reporting",
                "--fallocate=none", *options], timeout=3600)
    # Warnings may come before it.
    return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]


def directories(bench, disk):
    """{column: an empty directory}: the plain one, and one on a new volume's mount for each transport."""
    plain = os.path.join(disk.directory, "files")
    os.mkdir(plain)
    volumes = {transport: Volume(create_cluster(bench, disk, transport, transport)) for transport in bench.transports}
    return {"plain": plain, **{name: volume.directory for name, volume in volumes.items()}}
