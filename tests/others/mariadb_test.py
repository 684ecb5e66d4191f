"""
MariaDB's own regression tests, with everything that their servers write on a volume: what fails there fails on the plain
directory as well.  A few dozen tests; all of the suites main and innodb with UNSPILL_TEST_WHOLE=1 (hours).
"""
import os
import re

from on_a_volume import check, main, need, note, on_a_volume, run, sandbox, tail

SUITE = "/usr/share/mysql/mysql-test"
TESTS = """
main.alter_table main.auto_increment main.case main.check main.commit main.delete main.derived main.distinct main.drop
main.func_group main.func_str main.group_by main.having main.insert main.insert_select main.join main.key main.loaddata
main.lock main.metadata main.multi_update main.myisam main.null main.order_by main.outfile main.partition main.rename
main.repair main.select main.single_delete_update main.subselect main.symlink main.temp_table main.truncate
main.type_blob main.union main.update main.view innodb.innodb_bug30423 innodb.monitor innodb.truncate
""".split()
WHOLE = bool(os.environ.get("UNSPILL_TEST_WHOLE"))
SECONDS = 12 * 3600 if WHOLE else 1800
RESULT = re.compile(r"^(\S+\.\S+(?: '[^']*')?)\s+(?:w\d+ )?\[ (pass|fail|skipped|disabled)", re.M)


def command(directory):
    words = ["--force", "--force-restart", "--retry=0", "--max-test-fail=0", "--parallel=1", "--testcase-timeout=10"]
    words += ["--nocheck-testcases", "--skip-test-list=" + sandbox("none")]
    chosen = ["--suite=main,innodb"] if WHOLE else [test for test in TESTS if there_is(test)]
    return ["sh", "-c", f'vardir={directory}/var; cd {SUITE} && exec ./mtr --vardir="$vardir" "$@"', "mtr", *words, *chosen]


def there_is(test):
    suite, name = test.split(".")
    folder = "main" if suite == "main" else f"suite/{suite}/t"
    return os.path.exists(f"{SUITE}/{folder}/{name}.test")


def results(output):
    """{test: pass, fail or skipped}"""
    found = dict(RESULT.findall(output))
    check(len(found) >= 30, f"only {len(found)} tests ran:\n{tail(output)}")
    return found


def what_fails_on_a_volume_fails_on_the_plain_directory():
    need(f"{SUITE}/mtr", "mariadb-test")
    with open(sandbox("none"), "w", encoding="utf-8"):
        pass
    os.mkdir(sandbox("plain"))
    plain = results(run(command(sandbox("plain")), SECONDS)[1])
    # It ends with 1 when a test has failed: that is not the question.
    ours = results(on_a_volume(["sh", "-c", '"$@"; true', "sh", *command("$PWD")], SECONDS))
    for name, found in (("plain", plain), ("volume", ours)):
        counts = {word: list(found.values()).count(word) for word in ("pass", "fail", "skipped", "disabled")}
        note(f"{name}: {counts}; failed: {sorted(test for test in found if found[test] == 'fail')}")
    differ = {test: (plain.get(test), ours.get(test)) for test in plain | ours if plain.get(test) != ours.get(test)}
    check(not differ, f"plain and on a volume: {differ}")


main(what_fails_on_a_volume_fails_on_the_plain_directory)
