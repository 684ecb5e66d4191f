"""
./try without root: it finds by itself that it can tell its story on SQLite only, and every proof holds.
"""
import os
import shutil
import sys

from harness import TOP, as_nobody, check, find_binary, main, run, sandbox


def its_story_is_told_without_root():
    command = as_nobody(sys.executable, os.path.join(TOP, "tools/try.py"))
    home = sandbox("nobody")
    os.mkdir(home)
    shutil.chown(home, "nobody", "nogroup")
    os.chmod(sandbox(), 0o755)
    build = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(find_binary(TOP)))))
    env = dict(os.environ, UNSPILL_HOME=home, UNSPILL_SANDBOX=home, UNSPILL_BUILD=build)
    done = run(command, env=env, cwd="/", timeout=300)
    check("a rewind button for SQLite" in done.stdout, done.stdout)
    check(done.stdout.count("proved: ") == 10 and "every proof holds" in done.stdout, done.stdout)
    check(not os.listdir(home), "nothing is left")


main(its_story_is_told_without_root)
