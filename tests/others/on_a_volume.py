"""
Other people's programs, run on a volume that is mounted for them, over io_uring with UNSPILL_TEST_TRANSPORT=io_uring:
`posix_test --verify` compares every file with a view afterwards and verifies the volume.  Where a program is missing, the
test is skipped.
"""
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/e2e"))

from harness import Skip, check, main, note, sandbox  # noqa: E402,F401

POSIX_TEST = os.path.join(TOP, os.environ.get("UNSPILL_BUILD", "build"), "tests/posix/posix_test")
TRANSPORT = os.environ.get("UNSPILL_TEST_TRANSPORT", "classic")
LONG = bool(os.environ.get("UNSPILL_TEST_LONG"))


def need(program, package):
    if not os.path.exists(program) and not shutil.which(program):
        raise Skip(f"needs {program}, of the Debian package {package}: tools/install-deps long")


def run(command, seconds, directory=None):
    """(exit status, all that it printed); ended when it takes more than `seconds`."""
    child = subprocess.Popen(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    )
    try:
        output = child.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        # It unmounts; what it had started is the sandbox's to sweep up.
        child.terminate()
        output = child.communicate(timeout=60)[0]
        raise AssertionError(f"more than {seconds} s:\n{tail(output)}") from None
    return child.returncode, output


def tail(output, lines=60):
    return "\n".join(output.splitlines()[-lines:])


def on_a_volume(command, seconds):
    """What `command` printed, run in the root of a new volume; it and the volume must be well in the end."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        raise Skip("needs root and /dev/fuse")
    if not os.path.exists(POSIX_TEST):
        raise Skip("needs posix_test, which needs liburing-dev")
    # Files that nobody touches meanwhile: they must be there as they were, and there is something to compare.
    guarded = ["sh", "-c", 'cp -r "$0" kept && "$@" && diff -r "$0" kept', os.path.join(TOP, "src"), *command]
    status, output = run([POSIX_TEST, "--transport", TRANSPORT, "--verify", *guarded], seconds)
    skipped = re.search(r"^1\.\.0 # SKIP (.*)", output, re.M)
    if skipped:
        raise Skip(skipped.group(1))
    check(status == 0, f"status {status}:\n{tail(output)}")
    compared = re.search(r"^# (\d+) files compared", output, re.M)
    check(compared and int(compared.group(1)) > 50, f"too little was compared:\n{tail(output)}")
    return output
