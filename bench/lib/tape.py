"""The tape of a cluster, as its files tell (docs/format.md)."""
import os
import re

NAME = re.compile(r"([0-9a-f]{16})\.[a-z]+$")


class Tape:
    """
    `oldest`: where its first segment begins, `live`: where the one that is being written does, `now`: its end;
    `sealed_bytes`: what all before `live` takes, indexes and packs included, spares not.
    """

    def __init__(self, cluster):
        folder = cluster.path("volume/tape")
        self.now = cluster.status()["now"]["lsn"]
        files, segment_bytes = {}, 0
        for entry in os.scandir(folder):
            match = NAME.match(entry.name)
            if not match:
                continue
            try:
                size = entry.stat().st_size
            except FileNotFoundError:
                continue  # folded, or repacked, while we look
            lsn = int(match.group(1), 16)
            files[lsn] = files.get(lsn, 0) + size
            if entry.name.endswith(".seg"):
                segment_bytes = size
        self.live = self.now // segment_bytes * segment_bytes
        self.oldest = min(files)
        self.sealed_bytes = sum(size for lsn, size in files.items() if lsn < self.live)
