"""./check repeats what failed, once and by itself, and says so; what is still wrong stays wrong."""
import contextlib
import io
import os
import sys

from harness import BASE, check, main

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import check as tool  # noqa: E402

PASSES = "echo ok 1 - a; echo 1..1"
FAILS = "echo not ok 1 - a; echo 1..1"


def fails_once(name):
    flag = os.path.join(BASE, name)
    return f"test -e {flag} && {{ {PASSES}; }} || {{ touch {flag}; {FAILS}; }}"


def program(script):
    return lambda name: tool.run(name, ["sh", "-c", script], tap=True)


def report_on(tests, strict=False):
    report, out = tool.Report(), io.StringIO()
    with contextlib.redirect_stdout(out):
        tool.run_again(report, tool.run_all(report, tests.items(), [], 2), strict)
    report.printed = out.getvalue()
    return report


def sums(report):
    return report.passed, report.failed, sorted(report.failures), report.unsteady


def what_fails_once_passes_and_is_named():
    report = report_on({"steady": program(PASSES), "shaky": program(fails_once("once"))})
    check(sums(report) == (2, 0, [], ["shaky"]), sums(report))
    check("# first try: not ok 1 - a" in report.printed, report.printed)


def what_fails_twice_has_failed():
    report = report_on({"broken": program(FAILS), "steady": program(PASSES)})
    check(sums(report) == (1, 1, ["broken"], []), sums(report))


def a_strict_check_repeats_nothing():
    report = report_on({"shaky": program(fails_once("strict"))}, strict=True)
    check(sums(report) == (0, 1, ["shaky"], []), sums(report))


def many_that_fail_at_first_are_no_accident():
    names = [f"shaky{i}" for i in range(tool.UNSTEADY_MAX + 1)]
    report = report_on({name: program(fails_once(name)) for name in names})
    check(sums(report) == (0, len(names), names, []), sums(report))


def what_cannot_differ_is_not_repeated():
    flag = os.path.join(BASE, "lint")
    report = report_on({"lint": lambda name: tool.run(name, ["sh", "-c", f"test -e {flag} || {{ touch {flag}; false; }}"])})
    check(sums(report) == (0, 1, ["lint"], []), sums(report))


main(
    what_fails_once_passes_and_is_named,
    what_fails_twice_has_failed,
    a_strict_check_repeats_nothing,
    many_that_fail_at_first_are_no_accident,
    what_cannot_differ_is_not_repeated,
)
