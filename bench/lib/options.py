"""The command line of bench/run."""
import argparse
import copy
import os

from lib import catalogue

# What --budget chooses from, from the best to the least; each with three rounds or more, so that a median is one.
SETTINGS = (
    {"rounds": 5, "seconds": 30, "megabytes": 1000, "longest": 600},
    {"rounds": 3, "seconds": 30, "megabytes": 1000, "longest": 600},
    {"rounds": 3, "seconds": 20, "megabytes": 1000, "longest": 600},
    {"rounds": 3, "seconds": 15, "megabytes": 600, "longest": 300},
    {"rounds": 3, "seconds": 12, "megabytes": 400, "longest": 240},
    {"rounds": 3, "seconds": 12, "megabytes": 250, "longest": 180},
    {"rounds": 3, "seconds": 10, "megabytes": 200, "longest": 120},
    {"rounds": 3, "seconds": 8, "megabytes": 150, "longest": 90},
    {"rounds": 3, "seconds": 6, "megabytes": 100, "longest": 60},
    {"rounds": 3, "seconds": 4, "megabytes": 50, "longest": 40},
    {"rounds": 3, "seconds": 3, "megabytes": 30, "longest": 30},
)
USUAL = {"rounds": 3, "seconds": 20, "megabytes": 1000, "longest": 600, "rows": 250_000}
QUICK = {"rounds": 2, "seconds": 1, "megabytes": 20, "longest": 4, "rows": 5000}


def parser():
    made = argparse.ArgumentParser(
        prog="bench/run", description="Measure Unspill beside its peers, in turns, in one run.",
        epilog="Names: " + ", ".join(catalogue.NAMES) + "; all: all of them, and one table at the end."
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="what to measure")
    made.add_argument("--list", action="store_true", help="the names, what they measure, beside what, and what is to be reached")
    made.add_argument("--estimate", action="store_true", help="only say about how long it would take")
    made.add_argument("--rounds", type=int, metavar="N", help=f"how often each takes its turn ({USUAL['rounds']})")
    made.add_argument("--seconds", type=float, metavar="N", help=f"length of a turn ({USUAL['seconds']})")
    made.add_argument("--megabytes", type=int, metavar="N", help=f"size of bulk-load's dump, and of others' tables ({USUAL['megabytes']})")
    made.add_argument("--longest", type=float, metavar="SECONDS",
                      help=f"the longest stretch that backtrack goes back over ({USUAL['longest']})")
    made.add_argument("--budget", type=float, metavar="MINUTES", help="choose these four so that all of it takes about so long")
    made.add_argument("--transport", choices=("classic", "io_uring", "both"), default="both", help="of the mount (both)")
    made.add_argument("--disk", choices=("plain", "journaled", "both"), default="both",
                      help="the directory as it is, or a journaled ext4 in a loop device in it, for both sides (both, where it matters)")
    made.add_argument("--quick", action="store_true", help="seconds per name: shows that it works; the figures mean nothing")
    made.add_argument("--in", dest="directory", metavar="DIR", help="measure in this directory's filesystem (TMPDIR, or /tmp)")
    made.add_argument("--json", metavar="FILE", help="all results, for programs")
    return made


def fits(wanted, setting, minutes):
    trial = copy.copy(wanted)
    vars(trial).update(setting)
    return sum(catalogue.minutes(trial).values()) * 1.1 <= minutes  # machines differ


def parse(words):
    made = parser()
    wanted = made.parse_args(words)
    if wanted.names == ["all"]:
        wanted.names = list(catalogue.NAMES)
    unknown = [name for name in wanted.names if name not in catalogue.NAMES]
    if unknown:
        made.error(f"there is no benchmark '{unknown[0]}'; there are {', '.join(catalogue.NAMES)} and all")
    if not wanted.names and not wanted.list:
        made.error("say what to measure: a name, or all")
    if any(value is not None and value <= 0 for value in (wanted.rounds, wanted.seconds, wanted.megabytes, wanted.longest)):
        made.error("a number of rounds, seconds or megabytes is more than 0")
    if wanted.directory and not os.path.isdir(wanted.directory):
        made.error(f"there is no directory '{wanted.directory}'")
    wanted.rows = (QUICK if wanted.quick else USUAL)["rows"]
    setting = QUICK if wanted.quick else USUAL
    if wanted.budget and not wanted.quick:
        setting = next((s for s in SETTINGS if fits(wanted, s, wanted.budget)), SETTINGS[-1])
    for key in ("rounds", "seconds", "megabytes", "longest"):
        if getattr(wanted, key) is None:
            setattr(wanted, key, setting[key])
    return wanted


def words(wanted):
    return (f"--rounds {wanted.rounds} --seconds {wanted.seconds:g} --megabytes {wanted.megabytes}"
            f" --longest {wanted.longest:g} --transport {wanted.transport} --disk {wanted.disk}")
