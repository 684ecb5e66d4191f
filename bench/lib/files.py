"""file-sync and file-stream: fio in the plain directory and on the mount of a volume without a server."""
import contextlib
import json
import os
import shutil

from cluster import program, run

from lib.servers import Volume, create_cluster


def fio(directory, *options):
    """fio's own account of its only group of jobs."""
    done = run([program("fio"), "--name=bench", f"--directory={directory}", "--output-format=json", "--group_reporting",
                "--fallocate=none", *options], timeout=3600)
    # Warnings may come before it.
    return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]


@contextlib.contextmanager
def directories(bench, disk):
    """{column: an empty directory}: the plain one, and one on a new volume's mount for each transport."""
    plain = os.path.join(disk.directory, "files")
    os.mkdir(plain)
    volumes = {}
    try:
        for transport in bench.transports:
            volumes[transport] = Volume(create_cluster(bench, disk, transport, transport))
        yield {"plain": plain, **{name: volume.directory for name, volume in volumes.items()}}
    finally:
        for volume in volumes.values():
            volume.close()
            volume.cluster.forget_quietly()
        shutil.rmtree(plain)
