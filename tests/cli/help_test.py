"""Help, manual pages and parser say the same of every command, and are fit to be read."""
import os
import re
import shutil
import subprocess

from harness import UNSPILL, Skip, check, main, unspill

VERBS = ("create", "list", "status", "start", "stop", "restart", "delete", "shell", "modify", "moments", "mark", "backtrack",
         "backtracks", "view", "views", "unview", "import", "export", "query", "diff", "find", "repair", "clone",
         "verify", "repack", "keep", "serve", "jobs", "doctor", "help")


def commands():
    overview = unspill("--help").out
    section = overview.split("Commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in section.splitlines()]


def options_in(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


def described_options(text):
    """Of the section that lists them."""
    section = text.split("\nOptions:\n")[1].split("\n\n")[0]
    return options_in("\n".join(line for line in section.splitlines() if re.match(r"  -", line)))


def every_command_of_the_issue_is_there():
    check(commands() == list(VERBS), str(commands()))
    check(unspill("help").out == unspill("--help").out == unspill("-h").out, "the overviews differ")
    check(re.fullmatch(r"unspill \d+\.\d+\.\d+\n", unspill("--version").out), unspill("--version").out)


def every_usage_line_has_exactly_the_options_that_are_described():
    for verb in VERBS:
        done = unspill(verb, "--help")
        check(done.code == 0 and not done.err, str(done))
        check(unspill("help", verb).out == done.out, f"help {verb} is not {verb} --help")
        usage = done.out.split("\n\n")[0]
        check(usage.startswith(f"Usage: unspill {verb}"), usage)
        wanted = described_options(done.out) - {"--help"}
        used = options_in(usage) | ({"--execute"} if "[-e " in usage else set())
        check(used == wanted, f"{verb}: {used} in the usage, {wanted} described")


def every_option_that_is_described_is_understood():
    for verb in VERBS:
        for option in described_options(unspill(verb, "--help").out):
            # Each alone: what is missing then, or what the option cannot be, may be an error, an unknown option is another one.
            done = unspill(verb, option, "--help")
            check(done.code in (0, 2) and "unknown option" not in done.err, str(done))
            done = unspill(verb, f"{option}=x", "--help")
            check(done.code == 0 or "takes no value" in done.err, str(done))


def every_manual_page_has_what_the_help_has():
    for verb in VERBS:
        text = unspill("help", verb).out
        check(os.path.exists(os.path.join(os.path.dirname(UNSPILL), f"../../man/unspill-{verb}.1")), f"{verb}'s page is not made")
        page = unspill("help", "--man", verb)
        check(page.code == 0, str(page))
        plain = re.sub(r"\\f[BIR]", "", page.out).replace("\\-", "-").replace("\\(aq", "'").replace("\\&", "").replace("\\e", "\\")
        for option in described_options(text):
            check(f"\n{option}" in plain or f", {option}" in plain, f"{verb}: {option} is not in its page")
        for number in re.findall(r"^  (\d)  ", text.split("Exit status:")[1], re.M):
            check(f".TP\n{number}\n" in plain, f"{verb}: exit code {number} is not in its page")
        for example in re.findall(r"^  (unspill .*)$", text.split("\nExamples:")[1] if "\nExamples:" in text else "", re.M):
            check(example in plain, f"{verb}: example {example} is not in its page")
        check(f"unspill-{verb}(1)" in re.sub(r"\\f[BIR]|\\", "", unspill("help", "--man").out), f"{verb} is not in unspill(1)")


def every_example_is_understood():
    for verb in VERBS:
        text = unspill(verb, "--help").out
        for example in re.findall(r"^  unspill (.*)$", text.split("\nExamples:")[1] if "\nExamples:" in text else "", re.M):
            shell = f"unspill() {{ for w; do printf '%s\\0' \"$w\"; done; }}; unspill {example.split('|')[0].split('<')[0]}"
            listed = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout
            words = listed.split("\0")[:-1]
            at = words.index("--") if "--" in words else len(words)
            done = unspill(*words[:at], "--help")
            check(done.code == 0, f"{example}: {done}")


def all_that_is_printed_fits_80_columns():
    for words in [("--help",), ("help", "times"), ("help", "files"), ("help", "json"), ("help", "exit")] + [("help", verb) for verb in VERBS]:
        for line in unspill(*words).out.splitlines():
            check(len(line) <= 80, f"{words}: {len(line)} columns: {line}")
            check(line == line.rstrip(), f"{words}: blanks at the end: {line}")


def every_exit_code_is_explained():
    text = unspill("help", "exit").out
    check(re.findall(r"^  (\d)  \S", text, re.M) == [str(number) for number in range(10)], text)


def the_manual_pages_are_without_fault():
    if not shutil.which("groff"):
        raise Skip("groff is not installed")
    for words in [()] + [(verb,) for verb in VERBS]:
        page = unspill("help", "--man", *words).out
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=80n", "-P-cbou"], input=page, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, encoding="utf-8", check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        check(not done.stderr, f"{words}: {done.stderr}")
        check("NAME" in done.stdout and "EXIT STATUS" in done.stdout, f"{words}: {done.stdout}")


main(
    every_command_of_the_issue_is_there,
    every_usage_line_has_exactly_the_options_that_are_described,
    every_option_that_is_described_is_understood,
    every_manual_page_has_what_the_help_has,
    every_example_is_understood,
    all_that_is_printed_fits_80_columns,
    every_exit_code_is_explained,
    the_manual_pages_are_without_fault,
)
