"""
Build unspill with and without sanitizers, and run every test.

    ./check [--fast | --long] [--strict] [--only WORD]... [--list]

    --fast        no end-to-end tests on a real database server
    --long        soaks as well: more seeds, more kills, minutes of fuzzing, ThreadSanitizer, other people's tests
    --strict      a test that fails once has failed
    --only WORD   only what has WORD in its name (repeatable)
    --list        the names, nothing else

The output is TAP (version 14: the tests of a program are a subtest of it).  The last line, alone, is the
sum over all tests: "N passed, N failed, N skipped".  Build trees stay in build-check/ for the next time.
A program whose tests fail runs again by itself: see docs/decisions/0013-unsteady-tests.md.
"""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILDS = os.path.join(TOP, "build-check")
SANDBOX = os.environ.get("UNSPILL_SANDBOX", "")

SANITIZED = ["-Db_lundef=false", "-Doptimization=1"]
# name: compiler, meson's options
TREES = {
    "gcc": ("gcc", ["--buildtype=debugoptimized"]),
    "asan": ("clang", ["-Db_sanitize=address,undefined", *SANITIZED]),
    "tsan": ("clang", ["-Db_sanitize=thread", *SANITIZED]),
    "fuzz": ("clang", ["-Db_sanitize=address,undefined", "-Dc_args=-fsanitize=fuzzer-no-link", *SANITIZED]),
}
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# Programs whose threads meet: worth a run under ThreadSanitizer.
CONCURRENT = re.compile(r"tape|volume|mount|keeper|disk|vfs|clone|fold|pack|identity|jobs")

FUZZ_SECONDS = 300
E2E_TIMEOUT = {"normal": 900, "long": 4 * 3600}
# More than so many programs that fail at first are no accident.
UNSTEADY_MAX = 3


class Result:
    """What came of one program: its TAP, and the sums over it."""

    def __init__(self, name, lines, passed, failed, skipped, seconds, repeatable=False):
        self.name, self.lines, self.seconds = name, lines, seconds
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.repeatable = repeatable  # its tests run programs whose timing differs from run to run


class Report:
    """Prints results as they come in; knows the sums."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = self.passed = self.failed = self.skipped = 0
        self.failures, self.unsteady = [], []

    def note_unsteady(self, result):
        """Shown whole: why it failed the first time is what is worth knowing."""
        with self.lock:
            for line in result.lines:
                print("# first try: " + line)
            self.unsteady.append(result.name)

    def add(self, result):
        with self.lock:
            self.number += 1
            self.passed += result.passed
            self.failed += result.failed
            self.skipped += result.skipped
            for line in result.lines:
                print("    " + line)
            if result.failed:
                self.failures.append(result.name)
            skip = ""
            if result.skipped and not result.passed and not result.failed:
                skip = " # SKIP"
            verdict = "not ok" if result.failed else "ok"
            print(f"{verdict} {self.number} - {result.name} ({result.seconds:.1f} s){skip}", flush=True)


def parse_tap(name, output, status, seconds):
    """Every test counts as one; a program that promises more than it shows, or dies, has failed once more."""
    passed = failed = skipped = 0
    planned = None
    lines = output.splitlines()
    for line in lines:
        plan = re.match(r"1\.\.(\d+)(\s*#\s*skip.*)?$", line, re.I)
        if plan:
            planned = int(plan.group(1))
            if planned == 0:
                skipped += 1
        elif re.match(r"not ok\b", line):
            if re.search(r"#\s*todo", line, re.I):
                skipped += 1
            else:
                failed += 1
        elif re.match(r"ok\b", line):
            if re.search(r"#\s*skip", line, re.I):
                skipped += 1
            else:
                passed += 1
    seen = passed + failed + (skipped if planned else 0)
    if planned is None or (planned and seen != planned):
        lines.append(f"# planned {planned}, saw {seen}, exit status {status}")
        failed += 1
    elif status != 0 and not failed:
        lines.append(f"# every test passed, but the exit status is {status}")
        failed += 1
    return Result(name, lines, passed, failed, skipped, seconds, repeatable=True)


class Running:
    """The programs under way, so that a check which is told to stop does not wait for them."""

    def __init__(self):
        self.lock, self.children, self.stopped = threading.Lock(), set(), False

    def start(self, *args, **how):
        with self.lock:
            if self.stopped:
                raise SystemExit(1)
            child = subprocess.Popen(*args, **how)
            self.children.add(child)
        return child

    def ended(self, child):
        with self.lock:
            self.children.discard(child)

    def stop(self):
        """Each is a session of its own, and a sandbox sweeps up when it is told to end."""
        with self.lock:
            self.stopped = True
            for child in self.children:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGTERM)


RUNNING = Running()


def run(name, command, tap=False, timeout=600, env=None, cwd=TOP):
    """Run one program to its end, killing its whole process group when the time is over."""
    start = time.monotonic()
    child = RUNNING.start(
        command,
        cwd=cwd,
        env=dict(os.environ, **SANITIZER_ENVIRONMENT, **(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = child.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            output = child.communicate(timeout=20)[0]
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output = child.communicate()[0]
        output += f"\n# killed: more than {timeout} s\n".encode()
    RUNNING.ended(child)
    seconds = time.monotonic() - start
    text = output.decode(errors="replace")
    if tap:
        return parse_tap(name, text, child.returncode, seconds)
    if child.returncode == 0:
        return Result(name, [], 1, 0, 0, seconds)
    return Result(name, ["# " + line for line in text.splitlines()[-200:]], 0, 1, 0, seconds)


# --- Builds -------------------------------------------------------------------------------------


def tree(name):
    return os.path.join(BUILDS, name)


def build(name):
    """Configure (once) and compile; a tree that cannot be used any more is made anew."""
    compiler, options = TREES[name]
    start = time.monotonic()
    env = {"CC": compiler}
    setup = ["meson", "setup", tree(name), TOP, *options]
    result = None
    for attempt in (1, 2):
        if not os.path.exists(os.path.join(tree(name), "build.ninja")):
            shutil.rmtree(tree(name), ignore_errors=True)
            result = run("", setup, env=env)
            if result.failed:
                break
        result = run("", ["ninja", "-C", tree(name)], timeout=1200, env=env)
        if not result.failed:
            break
        if attempt == 1:
            shutil.rmtree(tree(name), ignore_errors=True)
    result.name = f"build [{name}]"
    result.seconds = time.monotonic() - start
    return result


def introspect(name, what):
    output = subprocess.run(
        ["meson", "introspect", what, tree(name)], stdout=subprocess.PIPE, check=True, stdin=subprocess.DEVNULL
    ).stdout
    return json.loads(output)


def program_tests(name, long):
    """A (name, function) for each test that meson knows in a tree."""
    for test in introspect(name, "--tests"):
        if name == "tsan" and not CONCURRENT.search(test["name"]):
            continue
        if "long" in test["suite"] and not long:
            continue
        # The sanitizers cost a factor of several.
        timeout = test["timeout"] * (1 if name == "gcc" else 4) * (10 if long else 1)
        env = dict(test["env"], UNSPILL_TEST_LONG="1") if long else test["env"]
        yield f"{test['name']} [{name}]", lambda title, test=test, env=env, timeout=timeout: run(
            title,
            test["cmd"],
            tap=test["protocol"] == "tap",
            timeout=timeout,
            env=env,
            cwd=test["workdir"] or tree(name),
        )


def fuzzers():
    """Minutes of each; what is new is not kept, but a crash is printed, with its bytes."""
    for file in sources("_fuzz.c"):
        name = os.path.basename(file)[:-7]
        fresh = os.path.join(SANDBOX, "fuzz-" + name)
        command = [
            os.path.join(tree("fuzz"), f"tests/fuzz/{name}_fuzz"),
            f"-max_total_time={FUZZ_SECONDS}", f"-artifact_prefix={fresh}/", "-print_final_stats=1", "-verbosity=0",
            fresh, f"{TOP}/tests/fuzz/corpus/{name}",
        ]

        def fuzz(title, command=command, fresh=fresh):
            os.makedirs(fresh)
            return run(title, command, timeout=FUZZ_SECONDS + 300)

        yield f"fuzz {name} for {FUZZ_SECONDS} s", fuzz


# --- Reading the sources --------------------------------------------------------------------------


def sources(*endings):
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, stdout=subprocess.PIPE, text=True
    )
    if listed.returncode == 0:
        files = listed.stdout.split("\n")
    else:
        files = [
            os.path.relpath(os.path.join(folder, file), TOP)
            for folder, _, names in os.walk(TOP)
            if not os.path.relpath(folder, TOP).startswith((".git", "build"))
            for file in names
        ]
    return sorted(file for file in files if file.endswith(endings) and os.path.exists(os.path.join(TOP, file)))


# Each program is a session, and so a group of the scheduler's, of its own: it is the group that has to be nice.
GENTLY = ["sh", "-c", 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"', "sh"]


def lint_tests():
    def clang_format(title):
        # Names are enough: tools/format mends them.
        script = 'clang-format --version >/dev/null || exit 1; ! clang-format --dry-run -Werror "$@" 2>&1' \
                 ' | sed -n "s/:[0-9]*:[0-9]*: error.*//p" | sort -u | grep .'
        return run(title, ["sh", "-c", script, "sh", *sources(".c", ".h")])

    def cppcheck(title):
        return run(
            title,
            # The suppressions have their reasons beside them.
            ["cppcheck", "-q", "-j2", "--std=c11", "--error-exitcode=1", "--inline-suppr", "-Isrc", "-Itests/unit"]
            + ["--enable=warning,portability", "--suppressions-list=tools/cppcheck.txt", "-D_GNU_SOURCE"]
            # It does not read jansson.h.
            + ["-Djson_array_foreach(a,i,v)=for(;v;)", "-Djson_object_foreach(o,k,v)=for(;v;)"]
            + ["-Djson_object_foreach_safe(o,n,k,v)=for(;v;)", "--library=posix", "-U__has_feature"]
            + [file for file in sources(".c") if file.startswith("src/")],
        )

    def python(title):
        files = [file for file in sources(".py", "tools/sandbox", "bench/run")]
        code = "import ast, sys\nfor f in sys.argv[1:]: ast.parse(open(f).read(), f)"
        return run(title, ["/usr/bin/python3", "-c", code, *files])

    yield "clang-format", clang_format
    yield "cppcheck", cppcheck
    yield "python parses", python
    if os.path.exists(os.path.join(TOP, "tools/check-layers")):
        yield "layers", lambda title: run(title, ["tools/check-layers"])
    for file in sources(".c"):
        if file.startswith("src/"):
            yield f"clang-tidy {file}", lambda title, file=file: run(
                title, [*GENTLY, "clang-tidy", "--quiet", "-p", tree("asan"), file]
            )


# --- Tests in Python ------------------------------------------------------------------------------


ENGINES = ("mariadb", "postgresql")
TRANSPORTS = ("classic", "io_uring")


def marks(path):
    """What a test says of itself: words behind "# ./check:"."""
    with open(os.path.join(TOP, path), encoding="utf-8") as text:
        found = re.search(r"^# \./check: (.*)$", text.read(), re.M)
    return re.split(r",\s*", found.group(1)) if found else []


def variants_of(path, tree_name, long):
    """(what is added to the name, environment) of each way in which a test runs: its marks `engines` and `transports`."""
    # The other engines without sanitizers only, and not at all where once is enough for a day, except in long runs.
    others = "engines" in marks(path) and (long or tree_name == "gcc") or "engines in long runs" in marks(path) and long
    engines = ENGINES if others else ENGINES[:1]
    transports = TRANSPORTS if "transports" in marks(path) else TRANSPORTS[:1]
    for engine in engines:
        for transport in transports:
            named = [engine] * (engine != ENGINES[0]) + [transport] * (transport != TRANSPORTS[0])
            yield "".join(f", {word}" for word in named), {"UNSPILL_TEST_ENGINE": engine, "UNSPILL_TEST_TRANSPORT": transport}


def python_tests(folder, trees, long, timeout):
    """The tests of tests/FOLDER, each in a sandbox of its own."""
    for file in sorted(os.listdir(os.path.join(TOP, "tests", folder))):
        if not file.endswith("_test.py"):
            continue
        path = f"tests/{folder}/{file}"
        for name, (added, variant) in ((name, variant) for name in trees(path) for variant in variants_of(path, name, long)):
            env = dict(variant, UNSPILL_BUILD=tree(name), UNSPILL=os.path.join(tree(name), "src/cmd/unspill"),
                       UNSPILL_LOADABLE_BUILD=tree("gcc"))
            if long:
                env["UNSPILL_TEST_LONG"] = "1"
            command = ["tools/sandbox", "--in", SANDBOX, "--name", file[:-8], "/usr/bin/python3", path]
            yield f"{folder} {file[:-8]} [{name}{added}]", lambda title, command=command, env=env: run(
                title, command, tap=True, timeout=timeout, env=env
            )


def end_to_end_tests(usable, long):
    def trees(path):
        both = long or "sanitizers" in marks(path)
        return [name for name in ("gcc", "asan") if name in usable and (both or name == "gcc")]

    yield from python_tests("e2e", trees, long, E2E_TIMEOUT["long" if long else "normal"])
    if long:
        yield from python_tests("others", lambda path: ["gcc"] if "gcc" in usable else [], long, E2E_TIMEOUT["long"])
        command = ["/usr/bin/python3", "tools/try.py", "--dir", SANDBOX]
        yield "try", lambda title: run(title, command, timeout=1800, env={"UNSPILL_SANDBOX": ""})


# --- All -----------------------------------------------------------------------------------------


def run_all(report, tests, only, workers):
    """Returns those that failed and may run again, as (test, result): they are not in the report yet."""
    chosen = [(name, test) for name, test in tests if not only or any(word in name for word in only)]
    again = []
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(test, name): test for name, test in chosen}
        try:
            for job in concurrent.futures.as_completed(jobs):
                result = job.result()
                if result.failed and result.repeatable:
                    again.append((jobs[job], result))
                else:
                    report.add(result)
        except SystemExit:
            # Else the pool would first run all that is left.
            pool.shutdown(wait=False, cancel_futures=True)
            RUNNING.stop()
            raise
    return again


def run_beside(report, slow, lint, only):
    """Reading the sources takes minutes of a processor, which the database servers' tests, one at a time, leave idle."""
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        reading = beside.submit(run_all, report, lint, only, 1)
        failed = run_all(report, slow, only, 1)
        return failed + reading.result()


def run_again(report, failed, strict):
    """A second time, with nothing beside it."""
    for test, result in failed:
        if strict or len(failed) > UNSTEADY_MAX:
            report.add(result)
            continue
        second = test(result.name)
        if not second.failed:
            report.note_unsteady(result)
        report.add(second if not second.failed else result)


def main(args):
    flags = {"--fast": False, "--long": False, "--list": False, "--strict": False}
    only = []
    args = list(args)
    while args:
        word = args.pop(0)
        if word in flags:
            flags[word] = True
        elif word == "--only" and args:
            only.append(args.pop(0))
        else:
            print(__doc__.strip())
            return 0 if word == "--help" else 2

    def stop(number, frame):
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Hung up on or not, what nohup(1) started goes on.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)

    report = Report()
    print("TAP version 14")
    trees = ["gcc", "asan"] + (["tsan", "fuzz"] if flags["--long"] else [])
    usable = []
    for name in trees:
        result = build(name)
        report.add(result)
        if not result.failed:
            usable.append(name)

    lint = list(lint_tests()) if "asan" in usable else []
    quick = []
    for name in usable:
        quick += list(fuzzers() if name == "fuzz" else program_tests(name, flags["--long"]))
    both = [name for name in usable if name in ("gcc", "asan")]
    quick += list(python_tests("cli", lambda path: both, flags["--long"], 600))
    slow = [] if flags["--fast"] else list(end_to_end_tests(usable, flags["--long"]))
    if flags["--list"]:
        print("\n".join(name for name, _ in lint + quick + slow))
        return 0
    failed = run_all(report, quick + ([] if slow else lint), only, os.cpu_count() or 2)
    # One at a time: these measure nothing, but a database server that starves is no test of ours.
    failed += run_beside(report, slow, lint if slow else [], only)
    run_again(report, failed, flags["--strict"])

    print(f"1..{report.number}")
    for name in report.failures:
        print(f"# failed: {name}")
    for name in report.unsteady:
        print(f"# unsteady: {name} (failed, then passed by itself: a fault, of the test or of what it tests)")
    print(f"{report.passed} passed, {report.failed} failed, {report.skipped} skipped")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
