"""The parts of the tests, what they are made of, and how their cases are counted. Called by tests/run.

A part prints one line; what failed is shown above it. A part that cannot run counts as a failure, and so does one that
finds nothing to run. The whole output of every program is kept in build-logs/.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / "build-logs"  # not in a build folder, which may be made anew
BUILD_S = 900
FUZZ_S = 12
HEAD_LINES, TAIL_LINES = 40, 60  # of a failure: what failed, and what was said last
# The sanitizers' builds are made to be run once: clang takes half the time without optimization. Precompiled headers spare
# it a third of the rest.
QUICK = ("-Db_lundef=false", "-Doptimization=0")
CCACHE = shutil.which("ccache") and not os.environ.get("CCACHE_DISABLE")
if CCACHE:  # which keeps nothing that was made with a precompiled header
    QUICK += ("-Db_pch=false",)

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# What has no thread of its own has nothing for the thread sanitizer to see.
WITHOUT_THREADS = {"protocol", "config", "sql", "fuzz corpus"}


class Failed(Exception):
    """A part could not run; `output` is what says why."""

    def __init__(self, reason, output=""):
        super().__init__(reason)
        self.output = output


class Count:
    def __init__(self, passed=0, failed=0):
        self.passed = passed
        self.failed = failed

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed


running = set()  # programs under way, each the leader of its process group


def end_all():
    for process in list(running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def execute(log_name, command, seconds, env=None):
    """(exit code, output) of a program that may not outlive its time; its whole process group is ended then."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / (log_name.replace("/", "-") + ".log")
    with open(path, "wb") as log:
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True)
        running.add(process)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        running.discard(process)
    output = path.read_text(errors="replace")
    if code is None:
        output += f"\nended after {seconds} s\n"
    return code, output


def show(title, output):
    lines = output.rstrip().splitlines()
    print(f"--- {title}")
    left_out = len(lines) - HEAD_LINES - TAIL_LINES
    if left_out > 0:
        lines[HEAD_LINES:-TAIL_LINES] = [f"... {left_out} lines, in {LOGS} ..."]
    for line in lines:
        print(f"    {line}")


def need(log_name, command, seconds=BUILD_S, env=None):
    code, output = execute(log_name, command, seconds, env)
    if code != 0:
        raise Failed(f"{log_name} failed", output)


def set_up(folder, compiler, *options):
    """A configured build folder, tests included; one that packaging/quickstart made without them is made anew."""
    path = ROOT / folder
    if (path / "build.ninja").exists() and (path / "tests").is_dir():
        return
    if CCACHE:
        compiler = f"ccache {compiler}"
    again = ["--wipe"] if (path / "build.ninja").exists() else []
    need(f"{folder}-setup", ["meson", "setup", *again, folder, *options], env={"CXX": compiler})
    if not (path / "tests").is_dir():
        raise Failed(f"{folder} has no tests")


def build_by(folder, command, last=False):
    """`last` is for what shall have only the time that others leave."""
    # By itself nice counts within a session, and each program has one of its own.
    leave = ["sh", "-c", '(echo 19 >/proc/self/autogroup) 2>/dev/null; exec nice -n 19 "$@"', "sh"] if last else []
    need(f"{folder}-build", [*leave, *command], 2 * BUILD_S if last else BUILD_S)


def build(folder, *targets, last=False):
    build_by(folder, ["ninja", "-C", folder, "-j2", *targets], last)


def meson_tests(folder):
    done = subprocess.run(["meson", "introspect", "--tests", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return [(test["name"], test["cmd"], test["timeout"]) for test in json.loads(done.stdout)]


# The totals that our kinds of programs end with.
DOCTEST = re.compile(r"\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed")
OWN_TOTAL = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
FUZZED = re.compile(r"^stat::number_of_executed_units:\s*[1-9]", re.MULTILINE)
UNITTEST = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)


def total_of(code, output):
    """How many cases passed and failed. A program that ended badly has at least one that failed."""
    doctests = DOCTEST.findall(output)
    own = OWN_TOTAL.findall(output)
    ran = UNITTEST.search(output)
    if ran:  # also where it shows what a program of doctest's has said
        bad = sum(int(n) for n in re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", output))
        skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", output))
        # What is skipped has proved nothing here: it counts as a failure.
        count = Count(max(int(ran[1]) - bad - skipped, 0), bad + skipped)
    elif doctests:
        count = Count(int(doctests[-1][0]), int(doctests[-1][1]))
    elif own:
        count = Count(int(own[-1][0]), int(own[-1][1]))
    elif FUZZED.search(output):
        count = Count(len(FUZZED.findall(output)), 0)  # a fuzzer is a case
    else:
        count = Count(1, 0) if code == 0 else Count(0, 1)
    if code != 0 and count.failed == 0:
        count.failed = 1
    if count.passed + count.failed == 0:
        count.failed = 1
    return count


def run_program(name, command, seconds, env=None):
    code, output = execute(name, command, seconds, env)
    count = total_of(code, output)
    if count.failed:
        show(name, output)
    return count


def two_at_a_time(run, what):
    count = Count()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for one in pool.map(run, what):
            count.add(one)
    return count


def run_meson_tests(folder, part, wanted=lambda name: True):
    found = [test for test in meson_tests(folder) if wanted(test[0])]
    if not found:
        raise Failed("no tests were found")
    return two_at_a_time(lambda test: run_program(f"{part}-{test[0]}", test[1], 240, SANITIZERS), found)


def part_tidy():
    return run_program("tidy", [ROOT / "tests" / "tidy"], 120)


def part_unit():
    set_up("build", "g++")
    build("build")
    return run_meson_tests("build", "unit")


def build_asan(last=False):
    set_up("build-asan", "clang++-14", "-Db_sanitize=address,undefined", *QUICK)
    build("build-asan", last=last)


def part_asan():
    """The other compiler, with its address and undefined-behaviour sanitizers; it builds everything."""
    built_ahead("asan") or build_asan()
    return run_meson_tests("build-asan", "asan")


def build_tsan(last=False):
    set_up("build-tsan", "clang++-14", "-Db_sanitize=thread", *QUICK)
    tests = [test for test in meson_tests("build-tsan") if test[0] not in WITHOUT_THREADS]
    programs = [os.path.relpath(test[1][0], ROOT / "build-tsan") for test in tests]
    if not programs:
        raise Failed("no tests were found")
    build("build-tsan", *programs, last=last)


def part_tsan():
    built_ahead("tsan") or build_tsan()
    return run_meson_tests("build-tsan", "tsan", lambda name: name not in WITHOUT_THREADS)


def part_fuzz():
    built_ahead("fuzz") or build_asan()
    return run_script("fuzz", FUZZ_S, "build-asan")


# Parts that mostly wait, for servers and for time to pass; and what may be built meanwhile.
WAITING = {"specs", "e2e", "packaging"}
BUILT_AHEAD = {"asan": build_asan, "tsan": build_tsan, "fuzz": build_asan}
builds_ahead = {}


def build_ahead(names, pool):
    for name in names:
        if name in BUILT_AHEAD and name not in builds_ahead:
            builds_ahead[name] = pool.submit(BUILT_AHEAD[name], last=True)


def built_ahead(name):
    """Waits for a build that was begun ahead; False if there is none. Its failure is the failure of the part."""
    if name not in builds_ahead:
        return False
    builds_ahead[name].result()
    return True


def part_specs():
    build_daemon()
    return run_script("specs")


def run_script(part, *arguments):
    script = ROOT / "tests" / part / "run"
    if not script.exists():
        raise Failed(f"{script.relative_to(ROOT)} is missing")
    return run_program(part, [script, *arguments], 600)


def build_daemon():
    set_up("build", "g++")
    build("build", "based")


def run_unittests(part, files):
    """Each file is a process with servers of its own, and mostly waits."""
    env = {"PYTHONPATH": f"{ROOT / 'tests' / 'support'}", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(file):
        return run_program(f"{part}-{file.stem}", ["/usr/bin/python3", "-m", "unittest", file], 300, env)

    return two_at_a_time(run, files)


def test_files(part):
    files = sorted((ROOT / "tests" / part).glob("test_*.py"))
    if not files:
        raise Failed(f"tests/{part} has no test_*.py")
    return files


def part_e2e():
    set_up("build", "g++")
    build("build", "based", "tests/backends/postgres/postgres_live_tests", "tests/daemon/based_blind")
    return run_unittests("e2e", test_files("e2e"))


def part_packaging():
    set_up("build", "g++")
    build("build", "based", "packaging/based.toml.5")
    return run_unittests("packaging", test_files("packaging"))


PARTS = {
    "tidy": part_tidy,
    "unit": part_unit,
    "specs": part_specs,
    "e2e": part_e2e,
    "packaging": part_packaging,
    "asan": part_asan,
    "tsan": part_tsan,
    "fuzz": part_fuzz,
}


def run_named(name):
    if name in PARTS:
        return PARTS[name]()
    part, _, file = name.removesuffix(".py").partition("/")
    path = ROOT / "tests" / part / f"{file}.py"
    if part in ("e2e", "packaging") and file.startswith("test_") and path.exists():
        build_daemon()
        return run_unittests(part, [path])
    raise Failed(f"no such part; there are {', '.join(PARTS)}, e2e/test_NAME")


def reported(name):
    began = time.monotonic()
    reason = ""
    try:
        count = run_named(name)
    except (Failed, OSError, ValueError, subprocess.SubprocessError) as failed:
        count = Count(0, 1)
        reason = f" (did not run: {failed})"
        if getattr(failed, "output", ""):
            show(name, failed.output)
    print(f"{name}: {count.passed} passed, {count.failed} failed in {time.monotonic() - began:.0f} s{reason}", flush=True)
    return count


def main(arguments):
    if any(argument in ("-h", "--help") for argument in arguments):
        print("usage: tests/run [NAME...]\nparts:", " ".join(PARTS), "and e2e/test_NAME")
        return 0
    total = Count()
    names = arguments or list(PARTS)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            for name in names:
                if name in WAITING:
                    build_ahead(names, pool)
                total.add(reported(name))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
