"""What people get wrong on the command line: one clear line, an exit code that says of what kind it is, nothing changed."""
import os
import socket
import subprocess

from harness import BASE, HOME, UNSPILL, Skip, check, environment, main, make_cluster, refused, unspill

NAMED = ("status", "start", "stop", "restart", "verify", "repack", "backtracks", "moments", "shell")


def without_a_command_the_overview_is_shown_and_it_is_an_error():
    done = unspill()
    check(done.code == 2 and "Usage: unspill COMMAND" in done.err and not done.out, str(done))


def an_unknown_command_brings_a_suggestion():
    refused("backtrak", code=2, says=["unknown command 'backtrak'; did you mean 'backtrack'?"])
    refused("back", code=2, says=["did you mean 'backtrack'?"])
    refused("lst", code=2, says=["did you mean 'list'?"])
    refused("frobnicate", code=2, says=["unknown command 'frobnicate'; see 'unspill --help'"])
    refused("--frobnicate", code=2, says=["unknown option '--frobnicate'"])
    refused("", code=2)
    refused("x" * 5000, code=2)


def an_unknown_option_brings_a_suggestion():
    refused("create", "shop", "--prot", "1", code=2, says=["create shop: unknown option '--prot'; did you mean '--port'?"])
    refused("status", "--frobnicate", code=2, says=["see 'unspill status --help'"])
    refused("status", "-x", code=2, says=["unknown option '-x'"])


def what_is_missing_or_too_much_is_named():
    refused("create", code=2, says=["NAME is missing"])
    refused("mark", "shop", code=2, says=["MARK is missing"])
    refused("backtrack", "shop", "--yes", code=2, says=["'--to MOMENT' is missing"])
    refused("export", "shop", code=2, says=["'--to DIR' is missing"])
    refused("import", "shop", code=2, says=["'--from DIR' is missing"])
    refused("backtrack", "shop", "--to", code=2, says=["'--to' needs a value"])
    refused("backtrack", "shop", "10", "minutes", "ago", code=2, says=["unexpected '10'"])
    refused("list", "shop", code=2, says=["unexpected 'shop'"])
    refused("status", "shop", "--json=yes", code=2, says=["takes no value"])
    refused("help", "backtrak", code=2, says=["did you mean 'backtrack'?"])


def a_name_that_cannot_be_one_is_refused():
    for name in ("../x", "a/b", "", "7up", "x" * 64, "a b", "a\nb", "-x", ".", "é"):
        refused("create", name, code=2)
        if not name.startswith("-"):
            refused("status", name, code=2)


def an_engine_that_there_is_not_is_refused():
    refused("create", "shop", "--engine", "oracle", code=2, says=["'oracle'", "mariadb"])


def a_window_that_is_none_is_refused_with_the_units():
    for window in ("12q", "3 fortnights", "72", "-1h", "h", "1h junk", "1001 years"):
        refused("create", "shop", "--backtrack-window", window, code=2, says=["--backtrack-window", window])
    refused("create", "shop", "--backtrack-window", "12q", code=2,
            says=["s (seconds), m (minutes), h (hours), d (days), w (weeks)"])


def a_port_that_is_none_is_refused():
    for port in ("70000", "0", "-1", "http", "0x50", "3306x", " 3306", "99999999999999999999"):
        refused("create", "shop", "--port", port, code=2, says=["--port", port, "from 1 to 65535"])


def a_port_that_is_taken_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused("create", "shop", "--port", port, code=8, says=[str(port), f"process {os.getpid()}"])
    check(os.listdir(HOME) == [], "something was made")


def an_address_that_is_not_ours_is_refused():
    refused("create", "shop", "--bind", "203.0.113.7", code=2, says=["203.0.113.7"])
    refused("create", "shop", "--bind", "not an address", code=2, says=["not an address"])


def a_directory_that_is_not_empty_is_refused():
    directory = os.path.join(BASE, "full")
    os.makedirs(directory)
    with open(os.path.join(directory, "precious"), "w", encoding="utf-8") as file:
        file.write("mine")
    refused("create", "shop", "--dir", directory, code=8, says=[directory, "empty"])


def a_directory_that_cannot_be_made_is_refused():
    refused("create", "shop", "--dir", "/proc/nowhere/x", code=3, says=["/proc/nowhere"])


def a_transport_that_is_none_is_refused():
    refused("create", "shop", "--transport", "pigeon", code=2, says=["--transport", "'pigeon'", "auto, classic and io_uring"])


def a_server_option_that_is_none_is_refused():
    refused("create", "shop", "--server-option", "--port=1", code=2, says=["--server-option"])
    refused("create", "shop", "--server-option", "=1", code=2, says=["--server-option"])


def an_import_from_what_is_no_data_directory_is_refused():
    refused("import", "shop", "--from", os.path.join(BASE, "nowhere"), says=[os.path.join(BASE, "nowhere")], code=3)
    empty = os.path.join(BASE, "empty")
    os.mkdir(empty)
    done = unspill("import", "shop", "--from", empty)
    check(done.code not in (0, 2) and empty in done.err and done.err.count("\n") == 1, str(done))


def without_room_a_cluster_is_refused():
    if os.geteuid():
        raise Skip("needs root, to mount a small disk")
    script = f'mkdir {BASE}/small && mount -t tmpfs -o size=8m none {BASE}/small && exec "$@"'
    process = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", UNSPILL, "create", "shop", "--dir", f"{BASE}/small/x"],
                             env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    os.rmdir(f"{BASE}/small")
    check(process.returncode == 9 and "8.00 MiB free, 256 MiB needed" in process.stderr, str(process))
    check(process.stderr.count("\n") == 1 and os.listdir(HOME) == [], str(process))


def in_a_private_dev(words, nodes):
    """unspill where /dev has only what `nodes` makes."""
    if os.geteuid():
        raise Skip("needs root")
    script = 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && ' + nodes + ' exec "$@"'
    return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", UNSPILL, *words], env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)


def without_dev_fuse_creating_is_refused_and_doctor_says_why():
    process = in_a_private_dev(["create", "shop"], "")
    check(process.returncode == 9 and "there is no /dev/fuse" in process.stderr and process.stderr.count("\n") == 1, str(process))
    process = in_a_private_dev(["doctor"], "")
    check(process.returncode == 9 and "there is no /dev/fuse" in process.stdout and "modprobe fuse" in process.stdout, str(process))
    check(os.listdir(HOME) == [], "something was made")


def doctor_says_how_the_faster_transport_is_switched_on():
    process = subprocess.run([UNSPILL, "doctor"], env=environment(), stdout=subprocess.PIPE, encoding="utf-8", check=False)
    line = [line for line in process.stdout.split("\n") if "transport" in line]
    check(len(line) == 1, str(process))
    check("/dev/fuse; " not in line[0] or "switched off" not in line[0] or "echo Y >" in line[0], line[0])
    check("io_uring" in line[0], line[0])


def somebody_who_may_not_write_the_list_is_refused():
    if os.geteuid():
        raise Skip("needs root, to become somebody else")
    os.chmod(BASE, 0o755)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", UNSPILL, "create", "shop"]
    process = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                             check=False)
    if process.returncode in (126, 127) or "setpriv:" in process.stderr:
        raise Skip("somebody else may not run the executable where it was built")
    check(process.returncode == 9 and HOME in process.stderr and process.stderr.count("\n") == 1, str(process))


def a_cluster_that_there_is_not_is_refused_and_those_that_there_are_are_told():
    for verb in NAMED:
        refused(verb, "nowhere", code=3, says=["nowhere"])
    make_cluster("shop")
    for verb in NAMED:
        refused(verb, "nowhere", code=3, says=["nowhere", "shop"])
    refused("delete", "nowhere", "--yes", code=3, says=["nowhere"])
    refused("mark", "nowhere", "x", code=3, says=["nowhere"])
    refused("modify", "nowhere", "--backtrack-window", "1h", code=3, says=["nowhere"])
    refused("backtrack", "nowhere", "--to", "1s ago", "--yes", code=3, says=["nowhere"])
    refused("export", "nowhere", "--to", "x", code=3, says=["nowhere"])


def a_name_that_exists_is_refused():
    refused("create", "shop", code=8, says=["'shop' exists already"])
    refused("import", "shop", "--from", BASE, code=8, says=["'shop' exists already"])


def a_shell_on_a_stopped_cluster_is_refused():
    refused("shell", "shop", code=5, says=["the server is stopped", "unspill start shop"])


def settings_that_are_damaged_or_too_new_are_told():
    path = os.path.join(HOME, "shop", "cluster.json")
    for text in ("", "{", "[]", "{}", '{"format": 1}', '{"format": 99}', '{"format": "x"}'):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = unspill("status", "shop")
        check(done.code in (1, 6) and done.err.count("\n") == 1 and "cluster.json" in done.err, str(done))


main(
    without_a_command_the_overview_is_shown_and_it_is_an_error,
    an_unknown_command_brings_a_suggestion,
    an_unknown_option_brings_a_suggestion,
    what_is_missing_or_too_much_is_named,
    a_name_that_cannot_be_one_is_refused,
    an_engine_that_there_is_not_is_refused,
    a_window_that_is_none_is_refused_with_the_units,
    a_port_that_is_none_is_refused,
    a_port_that_is_taken_is_refused,
    an_address_that_is_not_ours_is_refused,
    a_directory_that_is_not_empty_is_refused,
    a_directory_that_cannot_be_made_is_refused,
    a_transport_that_is_none_is_refused,
    a_server_option_that_is_none_is_refused,
    an_import_from_what_is_no_data_directory_is_refused,
    without_room_a_cluster_is_refused,
    without_dev_fuse_creating_is_refused_and_doctor_says_why,
    doctor_says_how_the_faster_transport_is_switched_on,
    somebody_who_may_not_write_the_list_is_refused,
    a_cluster_that_there_is_not_is_refused_and_those_that_there_are_are_told,
    a_name_that_exists_is_refused,
    a_shell_on_a_stopped_cluster_is_refused,
    settings_that_are_damaged_or_too_new_are_told,
)
