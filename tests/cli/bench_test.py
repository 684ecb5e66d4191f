"""bench/run knows its benchmarks, and refuses what it does not understand, before it starts anything."""
import os
import re
import subprocess

from harness import check, main

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = ("mariadb-write mariadb-read-write pgbench-write pgbench-select sqlite-wal sqlite-delete bulk-load file-sync file-stream backtrack"
         " backtrack-vs-restore window-cost memory fold-cost repack-cost clone query-past reset repair serve-identity serve-describe"
         " serve-memory serve-restart").split()


def bench(*words, code=0):
    # Not in a sandbox: whatever comes before one is made is what is tested.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("UNSPILL")}
    done = subprocess.run(["/usr/bin/python3", os.path.join(TOP, "bench/run"), *words], stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8", env=environment, timeout=60, check=False)
    check(done.returncode == code, f"bench/run {words}: {done}")
    return done.stderr if code else done.stdout


def modules():
    return sorted(name[:-3] for name in os.listdir(os.path.join(TOP, "bench/benchmarks")) if name.endswith(".py"))


def minutes(*words):
    """{name: minutes}, and the words of the last line."""
    lines = bench(*words, "--estimate").splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines[:-1]}, lines[-1]


def the_list_names_all_with_title_peer_and_target():
    check(modules() == sorted(NAMES), f"{modules()}")
    blocks = re.findall(r"^(\S+) +(\S.*)\n +beside: (\S.*)\n +to reach: (\S.*)$", bench("--list"), re.M)
    check([block[0] for block in blocks] == NAMES, f"{blocks}")


def the_results_have_a_row_for_each_name():
    with open(os.path.join(TOP, "bench/RESULTS.md"), encoding="utf-8") as file:
        text = file.read()
    for name in NAMES:
        check(f"| `{name}` |" in text, f"{name} has no row in bench/RESULTS.md")


def a_name_that_is_none_is_refused_with_those_that_are():
    said = bench("mariadb-wrote", code=2)
    check("mariadb-wrote" in said and all(name in said for name in NAMES), said)
    check("say what to measure" in bench(code=2))
    check("more than 0" in bench("memory", "--rounds", "0", code=2))


def a_budget_is_kept_with_three_rounds_or_more():
    for budget in (35, 90):
        each, words = minutes("all", "--budget", str(budget))
        check(list(each) == NAMES, f"{each}")
        check(budget / 2 < sum(each.values()) <= budget + 0.5, f"{budget} minutes: {sum(each.values())}: {each}")
        check(int(re.search(r"--rounds (\d+)", words).group(1)) >= 3, words)


def what_is_said_goes_before_the_budget():
    check("--rounds 4 --seconds 7 " in minutes("memory", "--budget", "35", "--rounds", "4", "--seconds", "7")[1])


main(
    the_list_names_all_with_title_peer_and_target,
    the_results_have_a_row_for_each_name,
    a_name_that_is_none_is_refused_with_those_that_are,
    a_budget_is_kept_with_three_rounds_or_more,
    what_is_said_goes_before_the_budget,
)
