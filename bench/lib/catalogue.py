"""
The benchmarks there are.  Each is a module of bench/benchmarks/ with

    TITLE       what is measured, in a line
    PEER        beside what
    TARGET      what is to be reached, in words
    DISKS       "both": worth a second run on a journaled ext4; "plain": not
    minutes(o)  about how long it takes with these options, on two cores
    run(bench)  measures; returns a list of lib.results.Result; the last words of its table are the caller's
"""
import importlib.util
import os

from lib import options

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks")
NAMES = (
    "mariadb-write", "mariadb-read-write", "pgbench-write", "pgbench-select", "sqlite-wal", "sqlite-delete", "bulk-load", "file-sync", "file-stream", "backtrack", "backtrack-vs-restore",
    "window-cost", "memory", "fold-cost", "repack-cost", "clone", "query-past", "reset", "repair",
    "serve-identity", "serve-describe", "serve-memory", "serve-restart",
)


def load(name):
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), os.path.join(HERE, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def print_list():
    for name in NAMES:
        module = load(name)
        print(f"{name:<22}{module.TITLE}\n{'':<22}beside: {module.PEER}\n{'':<22}to reach: {module.TARGET}")


def minutes(wanted):
    return {name: load(name).minutes(wanted) for name in wanted.names}


def print_estimate(wanted):
    each = minutes(wanted)
    for name, value in each.items():
        print(f"{name:<22}{value:5.1f} min")
    print(f"{'all of it':<22}{sum(each.values()):5.1f} min, with {options.words(wanted)}")
