"""
tools/sandbox leaves nothing behind, whatever becomes of the command, or of itself.
"""
import os
import signal
import subprocess
import time

from harness import TOP, Skip, check, gone, main, sandbox, wait_for

BOX = os.path.join(TOP, "tools/sandbox")
# Says where it is, leaves a process behind that ignores every polite word, then does as it is told.
SCRIPT = (
    'echo $UNSPILL_SANDBOX; setsid sh -c "trap : TERM INT HUP; while :; do sleep 1; done" >/dev/null 2>&1 & echo $!; '
    "echo x >$UNSPILL_SANDBOX/file; "
)


def start(then, hangup=signal.SIG_DFL):
    """Returns (the sandbox's process, its directory, the pid of what is left behind); `hangup`: what SIGHUP does there."""
    box = subprocess.Popen([BOX, "--in", sandbox(), "sh", "-c", SCRIPT + then], stdout=subprocess.PIPE, text=True,
                           preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup))
    return box, box.stdout.readline().strip(), int(box.stdout.readline())


def swept(directory, pid):
    wait_for(lambda: not os.path.exists(directory), 20, f"{directory} to go")
    wait_for(lambda: gone(pid), 5, f"process {pid} to go")


def the_status_is_the_commands_and_everything_is_swept_up():
    for then, status in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)):
        box, directory, pid = start(then)
        check(box.wait(30) == status, f"{then}: status {box.returncode}")
        check(not os.path.exists(directory) and gone(pid), f"{then}: something is left")


def a_signal_reaches_the_command_and_everything_is_swept_up():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        box, directory, pid = start("exec sleep 1000")
        time.sleep(0.1)
        box.send_signal(number)
        check(box.wait(30) == 128 + number, f"status {box.returncode}")
        check(not os.path.exists(directory) and gone(pid), "something is left")


def what_nohup_started_goes_on():
    box, directory, _ = start("exec sleep 1000", hangup=signal.SIG_IGN)
    box.send_signal(signal.SIGHUP)
    box.terminate()
    check(box.wait(30) == 143, f"status {box.returncode}: SIGHUP came first")
    check(not os.path.exists(directory), "something is left")


def what_ends_in_it_is_reaped():
    """Whose parent has ended becomes the sandbox's child."""
    box, directory, _ = start('sh -c "sleep 0 & echo \\$!"; exec sleep 1000')
    orphan = int(box.stdout.readline())
    wait_for(lambda: not os.path.exists(f"/proc/{orphan}"), 20, f"process {orphan} to be reaped")
    check(box.poll() is None and os.path.exists(directory), "it goes on")
    box.terminate()
    box.wait(30)


def killed_itself_it_is_swept_up_all_the_same():
    box, directory, pid = start("exec sleep 1000")
    box.kill()
    box.wait()
    swept(directory, pid)


def mounts_are_unmounted():
    if os.geteuid() != 0:
        raise Skip("needs root")
    box, directory, pid = start("mkdir $UNSPILL_SANDBOX/m && mount -t tmpfs none $UNSPILL_SANDBOX/m; exit 0")
    box.wait(30)
    swept(directory, pid)
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        check(directory not in mounts.read(), "still mounted")


def what_asks_to_be_kept_is_kept():
    box, directory, pid = start(">$UNSPILL_SANDBOX/keep")
    check(box.wait(30) == 0, f"status {box.returncode}")
    check(os.path.exists(directory + "/file"), "it is gone")
    os.kill(pid, signal.SIGKILL)


main(
    the_status_is_the_commands_and_everything_is_swept_up,
    a_signal_reaches_the_command_and_everything_is_swept_up,
    what_nohup_started_goes_on,
    what_ends_in_it_is_reaped,
    killed_itself_it_is_swept_up_all_the_same,
    mounts_are_unmounted,
    what_asks_to_be_kept_is_kept,
)
