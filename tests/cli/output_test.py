"""What the commands print, from answers that are known."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from harness import BASE, HOME, SECOND, UNSPILL, check, environment, main, make_cluster, refused, unspill, wait_for, \
    write_settings
from keeper import GONE, HANG, FakeKeeper

NOW = 1795341600 * SECOND  # 2026-11-22T10:00:00Z, 11:00 in Berlin


def moment(lsn, seconds=0.0):
    return {"lsn": lsn, "time_us": NOW + round(seconds * SECOND)}


STATUS = {
    "name": "shop", "engine": "mariadb", "engine_version": "MariaDB 10.11.6", "state": "running", "pid": 4242,
    "endpoint": {"address": "127.0.0.1", "port": 33060, "socket": "/somewhere/sock"}, "directory": "/somewhere/shop",
    "mount": "/somewhere/shop/mnt", "keeper_pid": 4241, "up_us": 7500 * SECOND, "restarts": 2,
    "transport": {"name": "io_uring", "why": ""},
    "window": {"target_us": 86400 * SECOND, "actual_us": 10800 * SECOND},
    "horizon": moment(4096, -10800), "now": moment(9_000_000_000_000_000_123, -1.5),
    "records": {"stored": 1234567, "per_second": 12.34},
    "history": {"bytes": 2 << 30, "max_bytes": 5 << 30, "bytes_per_hour": 700e6, "bytes_needed": 16.8e9},
    "bytes": {"tape": 3 << 30, "packed": 1 << 30, "packed_from": 3 << 30, "base": 5 << 20, "checkpoints": 123456,
              "tape_per_hour": 1 << 30, "base_per_hour": -4096.0,
              "disk_free": 7 << 30, "disk_total": 40 << 30, "memory": 99 << 20},
    "backtrack": None, "folding": False, "space_short": False, "pins": 0, "last_error": None,
}

BACKTRACK = {
    "number": 3, "at": moment(5000, -60), "asked_time_us": NOW - 600 * SECOND, "from": moment(4990, -61),
    "reached": moment(4500, -600.25), "records": 12345, "kill_us": 12000, "rewind_us": 140000, "start_us": 1620000,
    "finished": True,
}

PLAN = {"from": moment(4990, -1), "to": moment(4500, -600.25), "records": 12345, "bytes": 50 << 20,
        "replay_records": 2100, "server": True, "connections": 3}


def the_shop(**answers):
    return FakeKeeper(os.path.join(HOME, "shop"), {"status": STATUS, "shutdown": {}, **answers})


def a_cluster_to_look_at():
    make_cluster("shop")


def shows(done, *lines, code=0):
    check(done.code == code, str(done))
    for line in lines:
        check(line in done.out, f"'{line}' is missing: {done}")


def status_shows_what_an_operator_watches():
    with the_shop():
        done = unspill("status", "shop")
    shows(done, "shop  running for 2 h 05 min  MariaDB 10.11.6", "127.0.0.1:33060, /somewhere/sock",
          "keeper 4241, server 4242, restarted 2 times", "transport    io_uring", "1d wanted, 3 h 00 min there",
          "2026-11-22T08:00:00.000000+01:00 (lsn:4096)",
          "2026-11-22T10:59:58.500000+01:00 (lsn:9000000000000000123)", "1,234,567 stored, 12.3 per second",
          "2.00 GiB, 668 MiB per hour; 1d will need 15.6 GiB; at most 5.00 GiB",
          "3.00 GiB, +1.00 GiB per hour", "5.00 MiB, -4.00 KiB per hour", "7.00 GiB free of 40.0 GiB", "99.0 MiB")
    check("\033" not in done.out, "colours where there is no terminal")
    check(len(done.out.splitlines()) <= 24, f"more than one screen: {done}")


def status_shows_work_and_trouble():
    trouble = {"backtrack": {"applied": 1500, "left": 250}, "folding": True, "space_short": True, "pins": 2,
               "last_error": {"text": "cannot fold: \033[31mbad\nnews", "time_us": NOW}, "state": "backtracking"}
    with the_shop(status={**STATUS, **trouble}):
        done = unspill("status", "shop")
    shows(done, "backtracking", "1,500 records applied, 250 left", "oldest history gives way", "2 hold the horizon",
          "last error   2026-11-22 11:00:00 +01:00\n               cannot fold: ?[31mbad?news")


def status_in_json_has_the_keepers_keys_and_times_as_text():
    with the_shop():
        status = unspill("status", "shop", "--json").json
        utc = unspill("status", "shop", "--json", "--utc").json
    check(status["horizon"] == {"lsn": 4096, "time_us": NOW - 10800 * SECOND, "time": "2026-11-22T08:00:00.000000+01:00"},
          str(status["horizon"]))
    check(utc["horizon"]["time"] == "2026-11-22T07:00:00.000000Z", str(utc["horizon"]))
    check(status["now"]["lsn"] == 9_000_000_000_000_000_123, "positions are exact")
    check(status["window"] == STATUS["window"], "durations are no times")
    check(status["created"] == "2026-11-22T11:00:00.000000+01:00", str(status["created"]))
    check({key for key in status if not key.startswith("created")} == set(STATUS), str(status.keys()))


def status_of_a_stopped_cluster_needs_no_keeper():
    done = unspill("status", "shop")
    shows(done, "shop  stopped", "127.0.0.1:33060", os.path.join(HOME, "shop"), "free of")
    check("attention" not in done.out, str(done))
    status = unspill("status", "shop", "--json").json
    check(status["state"] == "stopped" and not status["down"] and status["bytes"]["tape"] == 0, str(status))


def status_tells_that_a_cluster_ought_to_run():
    make_cluster("fallen", desired="running")
    shows(unspill("status", "fallen"), "unspill start fallen")
    check(unspill("status", "fallen", "--json").json["down"], "down")


def status_of_all_clusters_is_one_after_the_other():
    with the_shop():
        shows(unspill("status"), "fallen  stopped", "shop  running")
        check([one["name"] for one in unspill("status", "--json").json["clusters"]] == ["fallen", "shop"], "names")


def list_is_a_table():
    with the_shop():
        done = unspill("list")
        all_of_them = unspill("list", "--json").json["clusters"]
    lines = done.out.splitlines()
    check(re.match(r"NAME +STATE +ENGINE +ENDPOINT +WINDOW +DIRECTORY$", lines[0]), str(done))
    check(re.match(r"fallen +stopped \(down\) +mariadb +127.0.0.1:33060 +\S*fallen$", lines[1]), str(done))
    check(re.match(r"shop +running +mariadb +127.0.0.1:33060 +1d +/somewhere/shop$", lines[2]), str(done))
    check([one["state"] for one in all_of_them] == ["stopped", "running"], str(all_of_them))


def list_shows_a_cluster_that_cannot_be_read():
    directory = make_cluster("broken")
    with open(os.path.join(directory, "cluster.json"), "w", encoding="utf-8") as file:
        file.write("{")
    done = unspill("list")
    check(re.search(r"^broken +unknown .*cluster.json", done.out, re.M), str(done))
    refused("delete", "broken", "--yes", code=8, says=["remove it yourself"])
    refused("status", "broken", code=6, says=["cluster.json"])
    os.rename(directory, os.path.join(BASE, "broken"))
    os.symlink(os.path.join(BASE, "gone"), directory)
    shows(unspill("delete", "broken", "--yes"), "off the list")
    check("broken" not in unspill("list").out, "still there")


def list_does_not_wait_for_a_keeper_that_hangs():
    before = time.monotonic()
    with the_shop(status=HANG):
        done = unspill("list")
    check(re.search(r"^shop +unknown .*does not answer", done.out, re.M), str(done))
    check(time.monotonic() - before < 20, "took too long")


def nothing_is_asked_before_the_moment_is_understood():
    with the_shop() as keeper:
        refused("backtrack", "shop", "--to", "tomorrow", "--yes", code=2, says=["--to: 'tomorrow' is not a time"])
        refused("backtrack", "shop", "--to", "lsn:x", "--yes", code=2, says=["lsn:123456"])
        refused("backtrack", "shop", "--to", "lsn:-1", "--yes", code=2)
        refused("backtrack", "shop", "--to", "lsn:99999999999999999999", "--yes", code=2)
        refused("backtrack", "shop", "--to", "mark:", "--yes", code=2)
        refused("backtrack", "shop", "--to", "2099-01-01", "--yes", code=4, says=["in the future", "it is 20"])
        refused("export", "shop", "--to", "out", "--at", "2099-01-01", code=4, says=["in the future"])
        check(not keeper.asked, f"asked: {keeper.asked}")


def without_a_terminal_a_backtrack_needs_yes():
    with the_shop(plan=PLAN) as keeper:
        refused("backtrack", "shop", "--to", "10 minutes ago", code=2, says=["no terminal", "--yes", "--dry-run"])
        check(not keeper.asked, f"asked: {keeper.asked}")
        refused("delete", "shop", code=2, says=["no terminal", "--yes"])
        check(not keeper.requests("shutdown"), "shut down")


def a_dry_run_shows_the_plan_and_does_nothing():
    with the_shop(plan=PLAN) as keeper:
        done = unspill("backtrack", "shop", "--to", "10 minutes ago", "--dry-run")
        plan = unspill("backtrack", "shop", "--to", "lsn:4500", "--dry-run", "--json").json
    shows(done, "shop goes to 2026-11-22T10:49:59.750000+01:00 (lsn:4500)", "(lsn:4990)", "9 min 59 s",
          "12,345 change records, 50.0 MiB; 2,100 record headers", "3 connections", "still reachable", "Nothing was done")
    check(plan["to"]["time"] == "2026-11-22T10:49:59.750000+01:00", str(plan))
    check(keeper.requests("plan")[1]["to"] == {"lsn": 4500}, str(keeper.asked))
    check(abs(keeper.requests("plan")[0]["to"]["time_us"] / SECOND - (time.time() - 600)) < 60, str(keeper.asked))
    check(not keeper.requests("backtrack"), str(keeper.asked))


def a_backtrack_goes_to_the_very_moment_of_the_plan():
    with the_shop(plan=PLAN, backtrack=[{"progress": {"step": "rewinding", "done": 5, "total": 10, "unit": "records"}},
                                        BACKTRACK]) as keeper:
        done = unspill("backtrack", "shop", "--to", "2026-11-22T08:00:00Z", "--yes")
    shows(done, "shop is as it was at 2026-11-22T10:49:59.750000+01:00 (lsn:4500)",
          "1.77 s: kill 12 ms, rewind 140 ms, start 1.62 s", "unspill backtrack shop --to lsn:4990", "rewinding: 10 records")
    check(not done.err, str(done))
    request = keeper.requests("backtrack")[0]
    check(request["to"] == {"lsn": 4500} and request["asked_time_us"] == NOW - 7200 * SECOND, str(request))


def a_backtrack_in_json_prints_json_alone():
    with the_shop(plan=PLAN, backtrack=[{"progress": {"step": "rewinding"}}, BACKTRACK]):
        result = unspill("backtrack", "shop", "--to", "mark:before", "--yes", "--json", "--utc").json
    check(result["reached"]["time"] == "2026-11-22T09:49:59.750000Z", str(result))
    check(result["asked_time"] == "2026-11-22T09:50:00.000000Z", str(result))


def what_the_keeper_refuses_has_an_exit_code_of_its_own():
    codes = {"not-found": 3, "out-of-window": 4, "busy": 5, "damaged": 6, "cancelled": 7, "exists": 8, "no-space": 9,
             "server-failed": 1, "failed": 1, "unsupported-version": 1, "bad-request": 2, "something-new": 1}
    for code, ending in codes.items():
        with the_shop(mark=(code, f"because of {code}")):
            refused("mark", "shop", "here", code=ending, says=[f"mark shop: because of {code}"])


def a_keeper_that_goes_away_is_told_of():
    with the_shop(mark=GONE):
        refused("mark", "shop", "here", code=1, says=["went away", "keeper.log"])


def marks_are_set_and_told():
    with the_shop(mark={"moment": moment(7)}) as keeper:
        shows(unspill("mark", "shop", "before ü"), "mark:before ü is 2026-11-22T11:00:00.000000+01:00 (lsn:7)")
        check(unspill("mark", "shop", "x", "--json").json["name"] == "x", "name")
    check(keeper.requests("mark")[0]["name"] == "before ü", str(keeper.asked))


def a_mark_that_is_no_text_is_refused():
    with the_shop(mark={"moment": moment(7)}) as keeper:
        process = subprocess.run([UNSPILL, "mark", "shop", b"\xff\xfe"], env=environment(), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, check=False)
        check(process.returncode == 2 and b"UTF-8" in process.stderr, str(process))
        check(not keeper.requests("mark"), str(keeper.asked))


def backtracks_are_listed():
    later = {**BACKTRACK, "number": 4, "asked_time_us": 0, "finished": False, "kill_us": 0, "rewind_us": 0, "start_us": 0}
    to_mark = {**later, "number": 5, "mark": "before ü"}
    with the_shop(backtracks={"backtracks": [BACKTRACK, later, to_mark]}):
        done = unspill("backtracks", "shop")
        one = unspill("backtracks", "shop", "--json").json["backtracks"][1]
    shows(done, "3  at 2026-11-22 10:59:00 +01:00, 12,345 change records",
          "asked for  2026-11-22T10:50:00.000000+01:00", "reached    2026-11-22T10:49:59.750000+01:00 (lsn:4500)",
          "from       2026-11-22T10:58:59.000000+01:00 (lsn:4990)", "took       1.77 s: kill 12 ms, rewind 140 ms, start 1.62 s",
          "asked for  a place, or a mark that is gone", "took       not known", "asked for  mark:before ü")
    check("asked_time" not in one and one["asked_time_us"] == 0, str(one))
    with the_shop(backtracks={"backtracks": []}):
        shows(unspill("backtracks", "shop"), "none yet")


def the_window_is_changed():
    answer = {"window_us": 86400 * SECOND, "history_max": 0}
    with the_shop(modify=lambda request: {key: request.get(key, value) for key, value in answer.items()}) as keeper:
        shows(unspill("modify", "shop", "--backtrack-window", "1d12h"), "the backtrack window of shop is 1d12h")
        shows(unspill("modify", "shop", "--backtrack-window=off"), "the backtrack window of shop is off")
        refused("modify", "shop", "--backtrack-window", "3 fortnights", code=2,
                says=["--backtrack-window", "'fortnights'", "s (seconds), m (minutes), h (hours), d (days), w (weeks)"])
        refused("modify", "shop", code=2, says=["--backtrack-window DURATION", "--max-history SIZE"])
        shows(unspill("modify", "shop", "--max-history", "20G"), "the history of shop may take at most 20.0 GiB")
        shows(unspill("modify", "shop", "--max-history", "off"), "the history of shop may take what the disk has room for")
        refused("modify", "shop", "--max-history", "20 acres", code=2, says=["--max-history", "'acres'", "K, M, G"])
    asked = [(request.get("window_us"), request.get("history_max")) for request in keeper.requests("modify")]
    check(asked == [(129600 * SECOND, None), (0, None), (None, 20 << 30), (None, 0)], str(keeper.asked))


def verify_tells_damage_by_line_and_by_exit_code():
    with the_shop(verify={"damage": [], "bytes": 3 << 20}):
        shows(unspill("verify", "shop"), "3.00 MiB read, every checksum is right")
    with the_shop(verify={"damage": ["tape: one", "base: two"], "bytes": 3 << 20}):
        done = unspill("verify", "shop")
        shows(done, "tape: one\nbase: two\n", code=6)
        check(done.err == "unspill: verify shop: 2 damaged places in 3.00 MiB\n", str(done))
        done = unspill("verify", "shop", "--json")
        check(done.code == 6 and json.loads(done.out)["damage"] == ["tape: one", "base: two"], str(done))


def repack_tells_what_it_gained():
    with the_shop(repack={"segments": 16, "before": 1 << 30, "after": 400 << 20, "left": 0}) as keeper:
        shows(unspill("repack", "shop"), "1.00 GiB of history take 400 MiB now")
        check(json.loads(unspill("repack", "shop", "--json").out)["segments"] == 16, "no JSON")
    check(len(keeper.requests("repack")) == 2, str(keeper.asked))
    with the_shop(repack={"segments": 0, "before": 0, "after": 0, "left": 0}):
        shows(unspill("repack", "shop"), "nothing to repack\n")
    with the_shop(repack={"segments": 0, "before": 0, "after": 0, "left": 3}):
        shows(unspill("repack", "shop"), "nothing to repack; what there is would not get much smaller")


def a_view_is_asked_for_by_its_real_path_and_its_keeper_stays():
    target, link = os.path.join(BASE, "then"), os.path.join(BASE, "link")
    os.mkdir(target)
    os.symlink(target, link)
    seen = {"directory": os.path.realpath(target), "moment": moment(9, -5), "since_us": NOW}
    with the_shop(view=seen) as keeper:
        done = unspill("view", "shop", "link/", "--at", "lsn:9")
        shows(done, f"{seen['directory']} shows 2026-11-22T10:59:55")
        check("unview" in done.err, str(done))
        check(keeper.requests("view") == [{"unspill": 1, "do": "view", "directory": seen["directory"], "at": {"lsn": 9}}],
              str(keeper.asked))
        check(not keeper.requests("shutdown"), str(keeper.asked))
        check(json.loads(unspill("view", "shop", target, "--at", "now", "--json").out)["moment"]["lsn"] == 9, "no JSON")
        refused("view", "shop", "nowhere", "--at", "now", code=3, says=["'nowhere'; make it first"])
        check(len(keeper.requests("view")) == 2, str(keeper.asked))
    os.unlink(link)
    os.rmdir(target)


def views_are_listed_and_ended_whoever_has_them():
    view = {"directory": "/mnt/then", "moment": moment(9, -5), "since_us": NOW - 60 * SECOND}
    other = {"directory": "/mnt/other", "moment": moment(8, -6), "since_us": NOW}
    with the_shop(views={"views": [view, other]}, unview={}) as keeper:
        for words in ((), ("shop",)):
            shows(unspill("views", *words), "/mnt/then  shop, 2026-11-22T10:59:55", "(lsn:9), since 2026-11-22 10:59:00",
                  "/mnt/other  shop, ")
            listed = json.loads(unspill("views", *words, "--json").out)["views"]
            check([(v["cluster"], v["directory"], v["moment"]["lsn"]) for v in listed] ==
                  [("shop", "/mnt/then", 9), ("shop", "/mnt/other", 8)], str(listed))
        check(unspill("unview", "/mnt/then/").code == 0, "unview")
        check(unspill("unview", "/mnt/other", "--force").code == 0, "unview")
        check([(r["directory"], r["force"]) for r in keeper.requests("unview")] == [("/mnt/then", False), ("/mnt/other", True)],
              str(keeper.asked))
        refused("unview", "/mnt/none", code=3, says=["'/mnt/none' is not a view", "unspill views"])
    with the_shop(views={"views": [view]}, unview=("busy", "somebody uses '/mnt/then'")):
        refused("unview", "/mnt/then", code=5, says=["somebody uses '/mnt/then'"])
    with the_shop(views={"views": []}):
        shows(unspill("views"), "none is open")
    shows(unspill("views", "shop"), "none is open")
    shows(unspill("views"), "none is open")


def a_stopped_cluster_whose_past_is_shown_is_not_started_under_the_viewer():
    shown = {**STATUS, "state": "stopped", "serverless": True, "views": 2}
    for verb in ("start", "restart"):
        with the_shop(status=shown) as keeper:
            refused(verb, "shop", code=5, says=["2 views", "unspill views shop"])
            check({request["do"] for request in keeper.asked} == {"status"}, str(keeper.asked))


def export_gives_the_keeper_an_absolute_path():
    with the_shop(export={"files": 12, "bytes": 5 << 20, "moment": moment(9, -5)}) as keeper:
        shows(unspill("export", "shop", "--to", "out", "--at", "lsn:9"), "12 files, 5.00 MiB, as of 2026-11-22T10:59:55")
        check(keeper.requests("export")[0]["to"] == os.path.join(BASE, "out"), str(keeper.asked))
        check(keeper.requests("export")[0]["at"] == {"lsn": 9}, str(keeper.asked))
        unspill("export", "shop", "--to", "out")
        check(keeper.requests("export")[1]["at"] == {"now": True}, str(keeper.asked))
        refused("export", "shop", "--to", "home", code=8, says=["not empty"])
        refused("export", "shop", "--to", "home/shop/cluster.json", code=8, says=["exists already"])


def start_and_stop_say_what_they_did():
    with the_shop(start={"start_us": 5}, stop={}, restart={"stop_us": 1500000, "start_us": 2500000}) as keeper:
        shows(unspill("start", "shop"), "shop is running already, on 127.0.0.1:33060")
        check(not keeper.requests("start"), str(keeper.asked))
        shows(unspill("restart", "shop"), "shop is running again: stop 1.50 s, start 2.50 s")
        shows(unspill("stop", "shop"), "shop is stopped, after ")
    with the_shop(status={**STATUS, "state": "starting"}, start={"start_us": 5}) as keeper:
        shows(unspill("start", "shop"), "shop is running on 127.0.0.1:33060, after ")
        check(keeper.requests("start"), str(keeper.asked))
    shows(unspill("stop", "shop"), "shop is stopped already")


def stopping_what_ought_to_run_and_does_not_makes_it_stay_stopped():
    shows(unspill("stop", "fallen"), "fallen is stopped already")
    check(not unspill("status", "fallen", "--json").json["down"], "still ought to run")


def delete_refuses_strangers_in_the_directory():
    with open(os.path.join(HOME, "fallen", "holiday.jpg"), "w", encoding="utf-8"):
        pass
    refused("delete", "fallen", "--yes", code=8, says=["holiday.jpg", "nothing was done"])
    os.unlink(os.path.join(HOME, "fallen", "holiday.jpg"))
    shows(unspill("delete", "fallen", "--yes"), "fallen is deleted")
    check(not os.path.exists(os.path.join(HOME, "fallen")), "still there")


# --- The picture ---------------------------------------------------------------------------------

def moments_answer(request):
    """A minute at one step per second: quiet, a burst, a backtrack into the middle of it, quiet."""
    step, since, until = request["step_us"], request["since_us"], request["until_us"]
    counts = {-40: 10, -39: 8000, -38: 12000, -37: 1, -30: 6000, -29: 3000, -10: 500}
    steps = []
    for time_us in range(since, until, step):
        records = sum(count for second, count in counts.items() if time_us <= NOW + second * SECOND < time_us + step)
        steps.append([time_us, records, records * 4096])
    backtrack = {**BACKTRACK, "number": 1, "at": moment(800, -20), "from": moment(790, -21), "reached": moment(400, -38.5)}
    return {"steps": steps, "horizon": moment(100, -50), "now": moment(900, -9.5), "backtracks": [backtrack],
            "marks": [{"name": "before-migration", "moment": moment(390, -39.25), "reachable": True}]}


def picture(*words, **more):
    with the_shop(moments=moments_answer):
        done = unspill("moments", "shop", "--since", "2026-11-22T09:59:00Z", "--until", "2026-11-22T10:00:00Z", *words, **more)
    check(done.code == 0, str(done))
    return done


def the_picture_has_a_line_per_step_with_notes_between():
    done = picture("--step", "1s")
    lines = done.out.splitlines()
    check(lines[0] == "shop: 2026-11-22 10:59:00 +01:00 to 2026-11-22 11:00:00 +01:00", str(done))
    check(lines[1] == "change records and bytes per 1s; the longest bar is 12,000", str(done))
    at = {line[:8]: line for line in lines}
    check(at["10:59:22"].count("░") == 42 and "12,000" in at["10:59:22"] and "46.9 MiB" in at["10:59:22"], str(done))
    check(at["10:59:21"].count("█") == 28 and "8,000" in at["10:59:21"], str(done))
    check("▏" in at["10:59:23"] or "░" in at["10:59:23"], f"the smallest change is seen: {done}")
    order = ["no longer kept: 10s", "horizon: nothing earlier", "10:59:20  ", "before-migration", "backtrack 1 came here",
             "10:59:22  ", "10:59:30  ", "backtrack 1, to 10:59:21.500", "10:59:50  "]
    places = [done.out.find(text) for text in order]
    check(-1 not in places, f"{order[places.index(-1)] if -1 in places else ''} is missing: {done}")
    check(places[:4] == sorted(places[:4]) and places[6:] == sorted(places[6:]), f"out of order: {places} {done}")
    check("··· nothing for 5s" in done.out or "··· nothing for 6s" in done.out, str(done))


def what_a_backtrack_left_behind_is_drawn_lighter():
    done = picture("--step", "1s")
    at = {line[:8]: line for line in done.out.splitlines()}
    check("█" in at["10:59:21"] and "░" not in at["10:59:21"], str(done))
    for left in ("10:59:22", "10:59:30"):
        check("░" in at[left] and "█" not in at[left], f"{left}: {done}")
    check("█" in at["10:59:50"] or "▋" in at["10:59:50"] or "▊" in at["10:59:50"], str(done))
    check("left behind by a backtrack" in done.out, str(done))


def a_line_of_both_kinds_shows_how_much_of_each():
    line = [line for line in picture("--step", "5s").out.splitlines() if line.startswith("10:59:20")][0]
    # 8,010 of 20,011 are present.
    check(15 <= line.count("█") <= 18 and 24 <= line.count("░") <= 27, line)
    check(line.index("░") > line.rindex("█") and "20,011" in line, line)


def what_is_outside_the_picture_is_not_drawn():
    with the_shop(moments=moments_answer):
        done = unspill("moments", "shop", "--since", "2026-11-22T09:59:25Z", "--until", "2026-11-22T09:59:35Z", "--step", "1s")
    check(not any(sign in done.out for sign in "◆↶↳━"), str(done))


def the_picture_fits_80_columns_and_plain_characters():
    for words in (("--step", "1s"), ("--step", "0.5s"), ()):
        for line in picture(*words).out.splitlines():
            check(len(line) <= 80, f"{len(line)} columns: {line}")
    plain = picture("--step", "1s", LC_ALL="C").out
    check(plain.isascii() and "#" in plain and ":::" in plain, plain)


def the_picture_chooses_its_steps():
    done = picture()
    check("per 2s" in done.out, str(done))
    check(done.out.count("\n") <= 50, str(done))
    refused_steps = [("--step", "0"), ("--step", "0.0001s"), ("--step", "1x")]
    with the_shop(moments=moments_answer):
        for words in refused_steps:
            refused("moments", "shop", *words, code=2, says=["--step"])
        refused("moments", "shop", "--since", "24h", "--step", "1s", code=2, says=["86401 steps", "10000"])
        refused("moments", "shop", "--since", "10:00Z", "--until", "10:00Z", code=2, says=["--since is not before --until"])


def a_young_cluster_is_shown_from_its_beginning():
    young = {**STATUS, "horizon": {"lsn": 1, "time_us": int(time.time() - 30) * SECOND}}
    with the_shop(status=young, moments=moments_answer) as keeper:
        unspill("moments", "shop")
    request = keeper.requests("moments")[0]
    check(29 * SECOND < request["until_us"] - request["since_us"] < 50 * SECOND, str(request))
    check(request["step_us"] == SECOND / 16, f"a sixteenth of a line's step: {request}")


def the_picture_in_json_names_its_numbers():
    with the_shop(moments=moments_answer):
        answer = unspill("moments", "shop", "--since", "2026-11-22T09:59:00Z", "--until", "2026-11-22T10:00:00Z",
                         "--step", "1s", "--json").json
    check(answer["steps"][22] == {"time_us": NOW - 38 * SECOND, "time": "2026-11-22T10:59:22.000000+01:00",
                                  "records": 12000, "bytes": 12000 * 4096}, str(answer["steps"][22]))
    check(answer["marks"][0]["moment"]["time"] == "2026-11-22T10:59:20.750000+01:00", str(answer["marks"]))


# --- On a terminal -------------------------------------------------------------------------------

class Terminal:
    """unspill on a pseudo-terminal of 80 columns."""

    def __init__(self, *words, **more):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                os.chdir(BASE)
                os.execve(UNSPILL, [UNSPILL, *words], environment(**more))
            finally:
                os._exit(127)
        self.seen = ""

    def read(self, until=None, seconds=120):
        """What is on the terminal, until that text or the end."""
        deadline = time.monotonic() + seconds
        while until is None or until not in self.seen:
            check(time.monotonic() < deadline, f"waited for {until}: {self.seen!r}")
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                check(until is None, f"ended without {until}: {self.seen!r}")
                break
            self.seen += data.decode()
        return self.seen

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        self.read()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def on_a_terminal_a_backtrack_asks():
    with the_shop(plan=PLAN, backtrack=BACKTRACK) as keeper:
        for answer in ("n\n", "\n", "yes please\n"):
            terminal = Terminal("backtrack", "shop", "--to", "lsn:4500")
            terminal.read("Go there? [y/N] ")
            terminal.type(answer)
            check(terminal.end() == 7, terminal.seen)
            check("Nothing was done" in terminal.seen and not keeper.requests("backtrack"), terminal.seen)
        terminal = Terminal("backtrack", "shop", "--to", "lsn:4500")
        terminal.read("Go there? [y/N] ")
        terminal.type("y\n")
        check(terminal.end() == 0 and len(keeper.requests("backtrack")) == 1, terminal.seen)
        check("\033[32mshop is as it was" in terminal.seen, terminal.seen)


def progress_is_one_line_that_is_drawn_over():
    parts = [{"progress": {"step": "reading", "done": n << 20, "total": 8 << 20, "unit": "bytes"}} for n in range(9)]

    def slowly(request):
        time.sleep(0.15)
        return parts + [{"damage": [], "bytes": 8 << 20}]

    with the_shop(verify=slowly):
        terminal = Terminal("verify", "shop")
        check(terminal.end() == 0, terminal.seen)
    check("\r\033[K  reading" in terminal.seen and "✓" in terminal.seen and "reading: 8.00 MiB" in terminal.seen, repr(terminal.seen))
    check(terminal.seen.count("\n") == 2, repr(terminal.seen))


def no_color_is_respected():
    with the_shop():
        coloured, plain = Terminal("status", "shop"), Terminal("status", "shop", NO_COLOR="1")
        check(coloured.end() == 0 and plain.end() == 0, plain.seen)
    check("\033[32mrunning" in coloured.seen and "\033" not in plain.seen, plain.seen)


def ctrl_c_cancels_and_tells_the_state():
    with the_shop(plan=PLAN, backtrack=HANG) as keeper:
        process = subprocess.Popen([UNSPILL, "backtrack", "shop", "--to", "lsn:4500", "--yes"], env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        check(keeper.hanging.wait(20), "never asked")
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=120)[1]
        check(process.returncode == 7, f"{process.returncode} {err}")
        check(err == "unspill: backtrack shop: cancelled; the server is running\n", err)
        check(keeper.hung_up.wait(20), "the connection was not closed")


def a_second_ctrl_c_ends_at_once():
    with the_shop(plan=PLAN, backtrack=HANG, status=HANG) as keeper:
        process = subprocess.Popen([UNSPILL, "backtrack", "shop", "--to", "lsn:4500", "--yes"], env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        check(keeper.hanging.wait(20), "never asked")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: keeper.requests("status"), "the question after the state")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        check(process.returncode == -signal.SIGINT, str(process.returncode))


def a_backtrack_that_cannot_be_cancelled_any_more_says_so():
    with the_shop(plan=PLAN, backtrack=HANG, status={**STATUS, "state": "backtracking"}) as keeper:
        process = subprocess.Popen([UNSPILL, "backtrack", "shop", "--to", "lsn:4500", "--yes"], env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        check(keeper.hanging.wait(20), "never asked")
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=120)[1]
        check("too late to cancel" in err and err.count("\n") == 1, err)


def commands_on_a_stopped_cluster_wait_for_each_other():
    run = os.open(os.path.join(HOME, "shop", "run"), os.O_RDONLY)
    fcntl.flock(run, fcntl.LOCK_EX)
    process = subprocess.Popen([UNSPILL, "stop", "shop"], env=environment(), stdout=subprocess.PIPE, encoding="utf-8")
    try:
        process.wait(0.5)
        raise AssertionError("it did not wait")
    except subprocess.TimeoutExpired:
        pass
    os.close(run)
    check("stopped already" in process.communicate(timeout=120)[0], "it did not go on")


def output_that_cannot_be_written_is_a_failure():
    with the_shop(), open("/dev/full", "w", encoding="utf-8") as full:
        for words in (["status", "shop", "--json"], ["status", "shop"], ["help"]):
            process = subprocess.run([UNSPILL, *words], env=environment(), stdout=full, stderr=subprocess.PIPE, check=False)
            check(process.returncode == 1, f"{words}: {process}")


main(
    a_cluster_to_look_at,
    status_shows_what_an_operator_watches,
    status_shows_work_and_trouble,
    status_in_json_has_the_keepers_keys_and_times_as_text,
    status_of_a_stopped_cluster_needs_no_keeper,
    status_tells_that_a_cluster_ought_to_run,
    status_of_all_clusters_is_one_after_the_other,
    list_is_a_table,
    list_shows_a_cluster_that_cannot_be_read,
    list_does_not_wait_for_a_keeper_that_hangs,
    nothing_is_asked_before_the_moment_is_understood,
    without_a_terminal_a_backtrack_needs_yes,
    a_dry_run_shows_the_plan_and_does_nothing,
    a_backtrack_goes_to_the_very_moment_of_the_plan,
    a_backtrack_in_json_prints_json_alone,
    what_the_keeper_refuses_has_an_exit_code_of_its_own,
    a_keeper_that_goes_away_is_told_of,
    marks_are_set_and_told,
    a_mark_that_is_no_text_is_refused,
    backtracks_are_listed,
    the_window_is_changed,
    verify_tells_damage_by_line_and_by_exit_code,
    repack_tells_what_it_gained,
    a_view_is_asked_for_by_its_real_path_and_its_keeper_stays,
    views_are_listed_and_ended_whoever_has_them,
    a_stopped_cluster_whose_past_is_shown_is_not_started_under_the_viewer,
    export_gives_the_keeper_an_absolute_path,
    start_and_stop_say_what_they_did,
    stopping_what_ought_to_run_and_does_not_makes_it_stay_stopped,
    delete_refuses_strangers_in_the_directory,
    the_picture_has_a_line_per_step_with_notes_between,
    what_a_backtrack_left_behind_is_drawn_lighter,
    a_line_of_both_kinds_shows_how_much_of_each,
    what_is_outside_the_picture_is_not_drawn,
    the_picture_fits_80_columns_and_plain_characters,
    the_picture_chooses_its_steps,
    a_young_cluster_is_shown_from_its_beginning,
    the_picture_in_json_names_its_numbers,
    on_a_terminal_a_backtrack_asks,
    progress_is_one_line_that_is_drawn_over,
    no_color_is_respected,
    ctrl_c_cancels_and_tells_the_state,
    a_second_ctrl_c_ends_at_once,
    a_backtrack_that_cannot_be_cancelled_any_more_says_so,
    commands_on_a_stopped_cluster_wait_for_each_other,
    output_that_cannot_be_written_is_a_failure,
)
