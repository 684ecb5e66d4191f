# ./check: transports
"""
stress-ng's stressors of filesystems and of input and output, with their own verification; and dbench's file server.
"""
import re

from on_a_volume import check, main, need, note, on_a_volume, tail

# Of the classes filesystem and io, those that are about something else than files of the current directory.
LEFT_OUT = (
    "bind-mount", "binderfs", "chattr", "dnotify", "dup", "eventfd", "fanotify", "handle", "inotify", "ioprio", "procfs",
    "rawdev", "verity",
)
SECONDS_EACH = 2


def stressors_find_nothing_wrong():
    need("stress-ng", "stress-ng")
    command = ["stress-ng", "--sequential", "2", "--class", "filesystem,io", "--exclude", ",".join(LEFT_OUT)]
    command += ["--temp-path", ".", "--verify", "--timeout", str(SECONDS_EACH), "--metrics-brief"]
    command += ["--hdd-bytes", "64m", "--iomix-bytes", "64m"]
    output = on_a_volume(command, 1200)
    check("fail:" not in output, tail(output))
    note("\n".join(line for line in output.splitlines() if re.search(r"passed|failed|skipped|successful run|compared", line)))


def dbench_gets_through():
    need("dbench", "dbench")
    output = on_a_volume(
        ["dbench", "--clients-per-process=1", "-t", "60", "-c", "/usr/share/dbench/client.txt", "-D", ".", "4"], 300
    )
    check("Throughput" in output, tail(output))
    note(tail(output, 4))


main(stressors_find_nothing_wrong, dbench_gets_through)
