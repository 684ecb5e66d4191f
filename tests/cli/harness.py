"""
The harness of the command line's tests: TAP, a throw-away home, clusters that have a directory and no server.

$UNSPILL is the executable.  A test is a function named by the sentence that it proves.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

UNSPILL = os.path.abspath(os.environ.get("UNSPILL", "unspill"))
BASE = tempfile.mkdtemp(prefix="unspill-cli-")
HOME = os.path.join(BASE, "home")
SECOND = 1_000_000


class Skip(Exception):
    """Not possible here; the text says what is missing."""


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


class Done:
    def __init__(self, words, process):
        self.words, self.code, self.out, self.err = words, process.returncode, process.stdout, process.stderr

    def __str__(self):
        return f"unspill {' '.join(self.words)}: exit {self.code}\n--- out\n{self.out}--- err\n{self.err}"

    @property
    def json(self):
        check(self.code == 0, str(self))
        return json.loads(self.out)


def environment(**more):
    # No colours, a zone with an offset, and a locale that can draw.
    return {**os.environ, "UNSPILL_HOME": HOME, "TZ": "Europe/Berlin", "LC_ALL": "C.UTF-8", "TERM": "xterm", **more}


def unspill(*words, text=None, **more):
    words = [str(word) for word in words]
    return Done(words, subprocess.run(
        [UNSPILL, *words], env=environment(**more), cwd=BASE, timeout=60, encoding="utf-8", check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, input=text, **({} if text else {"stdin": subprocess.DEVNULL})))


def tree():
    """Everything below the home, to see that nothing changed."""
    found = []
    for folder, folders, names in os.walk(BASE):
        for name in names + folders:
            path = os.path.join(folder, name)
            found.append((path, os.lstat(path).st_mode, os.lstat(path).st_mtime_ns))
    return sorted(found)


def refused(*words, code, says=(), **more):
    """One clear line, that exit code, nothing on standard output, nothing changed."""
    before = tree()
    done = unspill(*words, **more)
    check(done.code == code, f"exit code {done.code}, not {code}: {done}")
    check(done.err.startswith("unspill: ") and done.err.count("\n") == 1, f"not one line: {done}")
    check(not done.out, f"something on standard output: {done}")
    for word in says:
        check(word in done.err, f"'{word}' is missing: {done}")
    check(tree() == before, f"something changed: {done}")
    return done


def make_cluster(name, **settings):
    """A cluster's directory as docs/control.md has it; its volume is empty, and no keeper runs."""
    directory = os.path.join(HOME, name)
    for below in ("volume", "mnt", "run"):
        os.makedirs(os.path.join(directory, below))
    write_settings(directory, {
        "format": 1, "name": name, "engine": "mariadb", "bind": "127.0.0.1", "port": 33060,
        "server_user": {"uid": os.geteuid(), "gid": os.getegid()}, "created_us": 1795341600 * SECOND,
        "desired": "stopped", "first": {"lsn": 4096, "time_us": 1795341600 * SECOND}, "server_options": [], **settings})
    return directory


def write_settings(directory, settings):
    with open(os.path.join(directory, "cluster.json"), "w", encoding="utf-8") as file:
        json.dump(settings, file)


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"waited {seconds} s for {what}")
        time.sleep(0.01)


def main(*tests):
    bad = 0
    os.makedirs(HOME)
    try:
        for number, test in enumerate(tests, 1):
            name = test.__name__.replace("_", " ")
            try:
                test()
                print(f"ok {number} - {name}", flush=True)
            except Skip as reason:
                print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                bad += 1
                for line in "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines():
                    print(f"# {line}")
                print(f"not ok {number} - {name}", flush=True)
    finally:
        shutil.rmtree(BASE)
    print(f"1..{len(tests)}")
    sys.exit(1 if bad else 0)
