# ./check: transports
"""
fio finds every block as it wrote it: through each way into the kernel, past the page cache and not.
"""
from on_a_volume import LONG, main, need, on_a_volume

SIZE = "256m" if LONG else "64m"


def verified(engine, *more):
    need("fio", "fio")
    on_a_volume(
        ["fio", "--name=verify", "--rw=randwrite", f"--ioengine={engine}", f"--size={SIZE}", "--bsrange=4k-64k",
         "--blockalign=4k", "--iodepth=16", "--numjobs=2", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
         "--fsync=64", "--group_reporting", *more],
        600,
    )


def buffered_writes_are_found_again():
    verified("psync")


def direct_writes_are_found_again():
    verified("psync", "--direct=1")


def asynchronous_writes_are_found_again():
    verified("libaio", "--direct=1")
    verified("libaio")


def writes_through_a_ring_are_found_again():
    verified("io_uring", "--direct=1")
    verified("io_uring")


def mapped_writes_are_found_again():
    verified("mmap")


main(
    buffered_writes_are_found_again,
    direct_writes_are_found_again,
    asynchronous_writes_are_found_again,
    writes_through_a_ring_are_found_again,
    mapped_writes_are_found_again,
)
