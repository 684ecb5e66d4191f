"""
MariaDB's own regression tests, with everything that their servers write on a volume: what fails there fails on the plain
directory as well.  A few dozen tests; all of the suites main and innodb with UNSPILL_TEST_WHOLE=1 (hours).
"""
import os
import re

from on_a_volume import Skip, check, main, need, note, on_a_volume, run, sandbox

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


def command(directory, chosen, parallel):
    words = ["--force", "--force-restart", "--retry=0", "--max-test-fail=0", f"--parallel={parallel}", "--testcase-timeout=10"]
    words += ["--nocheck-testcases", "--skip-test-list=" + sandbox("none")]
    # It ends with 1 when a test has failed: that is not the question.
    script = f'vardir={directory}/var; cd {SUITE} && ./mtr --vardir="$vardir" "$@"; true'
    return ["sh", "-c", script, "mtr", *words, *chosen]


def there_is(test):
    suite, name = test.split(".")
    folder = "main" if suite == "main" else f"suite/{suite}/t"
    return os.path.exists(f"{SUITE}/{folder}/{name}.test")


def on_the_volume(chosen, parallel=1):
    return on_a_volume(command("$PWD", chosen, parallel), SECONDS)


def in_the_plain_directory(chosen, parallel=1):
    directory = sandbox("plain")
    os.makedirs(directory, exist_ok=True)
    return run(command(directory, chosen, parallel), SECONDS)[1]


def results(output):
    """{test: pass, fail, skipped or disabled}; a test in several combinations has failed when it has in one."""
    found = {}
    for test, word in RESULT.findall(output):
        if found.get(test) != "fail":
            found[test] = word
    return found


def failed(found):
    return sorted(test for test in found if found[test] == "fail")


def tell(where, found):
    counts = {word: list(found.values()).count(word) for word in ("pass", "fail", "skipped", "disabled")}
    note(f"{where}: {counts}; failed: {failed(found)}")


def prepared():
    need(f"{SUITE}/mtr", "mariadb-test")
    with open(sandbox("none"), "w", encoding="utf-8"):
        pass


def what_fails_on_a_volume_fails_on_the_plain_directory():
    prepared()
    chosen = [test for test in TESTS if there_is(test)]
    plain, ours = results(in_the_plain_directory(chosen)), results(on_the_volume(chosen))
    for where, found in (("plain", plain), ("volume", ours)):
        check(len(found) >= 30, f"only {len(found)} tests ran")
        tell(where, found)
    differ = {test: (plain.get(test), ours.get(test)) for test in plain | ours if plain.get(test) != ours.get(test)}
    check(not differ, f"plain and on a volume: {differ}")


def whole_suites_fail_on_a_volume_where_they_fail_on_the_plain_directory():
    """Side by side, which some tests do not like: what fails is run again by itself, on the volume and on the plain directory."""
    if not WHOLE:
        raise Skip("takes hours: UNSPILL_TEST_WHOLE=1")
    prepared()
    found = results(on_the_volume(["--suite=main,innodb"], parallel=3))
    tell("volume", found)
    check(len(found) >= 1500, f"only {len(found)} tests ran")
    again = [test.split()[0] for test in failed(found)]
    if not again:
        return
    ours, plain = results(on_the_volume(again)), results(in_the_plain_directory(again))
    tell("volume, again and alone", ours)
    tell("plain, those alone", plain)
    differ = sorted(set(failed(ours)) - set(failed(plain)))
    check(not differ, f"only on a volume: {differ}")


main(
    what_fails_on_a_volume_fails_on_the_plain_directory,
    whole_suites_fail_on_a_volume_where_they_fail_on_the_plain_directory,
)
