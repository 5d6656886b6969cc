"""Run as a script: prepare this process as the arguments say, then become the program that they name.

For what posix_spawn cannot do itself: another folder, user or group, and, where opening a terminal does not make
it the controlling one, that. The process is new and has one thread, so that nothing here can harm anybody.

    python -I -S _become.py path=FOLDER groups=1,2 gid=1 uid=1 terminal locale=C no-locale -- PROGRAM ARGUMENT0 ...

It imports nothing of this package, for it must be quick.
"""

import os
import signal
import sys


def prepare(word: str) -> None:
    """Obey one of the arguments before the "--"."""
    verb, _, value = word.partition("=")
    if verb == "path":
        os.chdir(value)
    elif verb == "groups":
        # Real or effective, one of the user identifiers is 0: make it the effective one.
        os.setuid(0)
        os.setgroups([int(group) for group in value.split(",")])
    elif verb == "gid":
        os.setgid(int(value))
    elif verb == "uid":
        os.setuid(int(value))
    elif verb == "locale":
        os.environ["LC_CTYPE"] = value
    elif verb == "no-locale":
        os.environ.pop("LC_CTYPE", None)
    elif verb == "terminal":
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def become(words: list[str]) -> None:
    """Prepare and become. Returns only by raising OSError."""
    split = words.index("--")
    for word in words[:split]:
        prepare(word)
    # Python itself ignores these and catches SIGINT; the program is to have it as every program has.
    for name in ("SIGPIPE", "SIGXFSZ", "SIGINT"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execv(words[split + 1], words[split + 2 :])


if __name__ == "__main__":
    try:
        become(sys.argv[1:])
    except OSError as problem:
        # Not print(): what is there may be no terminal, or closed.
        os.write(2, f"cannot run {sys.argv[sys.argv.index('--') + 1]}: {problem.strerror}\n".encode())
    os._exit(1)
