"""Ends a process with all of its descendants. Free of Qt."""

from __future__ import annotations


def kill_process_tree(pid: int) -> None:
    """Kill the process ``pid`` and every process that it started, at once.

    ``PythonSlicer`` is a launcher: the Python that computes is its child and would outlive it.
    A process that is gone already is no error. Waiting for the end is left to whoever started the
    process, because only one may collect its exit status.
    """
    import psutil

    try:
        root = psutil.Process(pid)
        # Held still first, so that it starts nothing between the listing and the end.
        root.suspend()
        tree = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
