"""tools/check-layers finds each way in which includes can go wrong."""
import os
import subprocess

from harness import BASE, check, main

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOOD = {
    "base/README.md": "# base\n\nUses: nothing.\n",
    "base/clock.h": "#include <stdint.h>\n",
    "base/clock.c": '#include "base/clock.h"\n',
    "tape/README.md": "# tape\n\nUses: base.\n",
    "tape/tape.c": '#include "base/clock.h"\n',
    "volume/README.md": "# volume\n\nUses: base, tape.\n",
    "volume/volume.c": '#include "base/clock.h"\n#include "tape/tape.h"\n',
    "tape/tape.h": "",
}


def complaints(name, **changes):
    """What it says of the good tree with these changes; slashes in names are written __ and dots _."""
    top = os.path.join(BASE, name)
    files = {**GOOD, **{path.replace("__", "/").replace("_c", ".c").replace("_md", ".md"): text for path, text in changes.items()}}
    for path, text in files.items():
        path = os.path.join(top, "src", path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    done = subprocess.run([os.path.join(TOP, "tools/check-layers"), top], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", check=False)
    check(not done.stderr, done.stderr)
    check((done.returncode != 0) == bool(done.stdout), f"{done.returncode} {done.stdout}")
    return done.stdout


def complains(says, name, **changes):
    said = complaints(name, **changes)
    check(said.count("\n") == 1 and all(word in said for word in says), said)


def a_good_tree_is_passed_in_silence():
    check(complaints("good") == "", complaints("good"))


def an_include_that_is_not_announced_is_found():
    complains(["tape.c:1", "does not say that it uses volume"], "upwards", tape__tape_c='#include "volume/volume.c"\n#include "base/clock.h"\n')


def an_announcement_that_is_not_used_is_found():
    complains(["tape/README.md", "says that it uses base, and does not"], "unused", tape__tape_c='#include "tape/tape.h"\n')


def an_include_that_is_not_said_from_src_on_is_found():
    complains(["tape.c:1", "not said from src/"], "relative", tape__tape_c='#include "tape.h"\n#include "base/clock.h"\n')


def an_include_of_nothing_is_found():
    complains(["tape.c:2", "does not exist"], "nothing", tape__tape_c='#include "base/clock.h"\n#include "base/gone.h"\n')


def a_readme_without_its_line_is_found():
    complains(["base/README.md", "is missing"], "silent", base__README_md="# base\n")


def a_circle_is_found():
    said = complaints("circle", base__README_md="# base\n\nUses: tape.\n", base__clock_c='#include "tape/tape.h"\n')
    check("in a circle: base uses tape uses base" in said, said)


def this_tree_is_good():
    done = subprocess.run([os.path.join(TOP, "tools/check-layers")], stdout=subprocess.PIPE, encoding="utf-8", check=False)
    check(done.returncode == 0, done.stdout)


main(
    a_good_tree_is_passed_in_silence,
    an_include_that_is_not_announced_is_found,
    an_announcement_that_is_not_used_is_found,
    an_include_that_is_not_said_from_src_on_is_found,
    an_include_of_nothing_is_found,
    a_readme_without_its_line_is_found,
    a_circle_is_found,
    this_tree_is_good,
)
