"""Parameters, memory and time of a step of each network, each in a process of its own: a table in Markdown.

scripts/measure_networks.py [--threads 1] [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from liverseg.networks import build_network
from liverseg.networks.members import MEMBERS
from liverseg.networks.segresnet import Redrawn

# Bytes in a kilobyte of ru_maxrss (Linux counts in kilobytes, macOS in bytes).
_UNIT = 1 if sys.platform == "darwin" else 1024


def measure(name: str) -> dict[str, float]:
    """A training step in half precision, the second of two, and the memory it takes beyond the weights."""
    member = MEMBERS[name]
    description = member.description
    exported = sum(p.numel() for p in build_network(description).parameters())
    network = build_network(description, training=True).train()
    trained = sum(p.numel() for p in network.parameters())
    if description.get("dimensions") == 2:
        channels = description["in_channels"] * description.get("context", 1)
        inputs = torch.rand(member.batch, channels, *member.patch[1:])
    else:
        inputs = torch.rand(1, description["in_channels"], *member.patch)
        inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        wall, busy = time.monotonic(), time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(inputs)
        logits = outputs.logits if isinstance(outputs, Redrawn) else outputs
        torch.nn.functional.cross_entropy(logits.float(), logits.argmax(1)).backward()
        optimizer.step()
        optimizer.zero_grad()
        wall, busy = time.monotonic() - wall, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "exported": exported,
        "trained": trained,
        "gib": (peak - before) * _UNIT / 2**30,
        "wall_s": wall,
        "cpu_s": busy,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*MEMBERS, []], help="all where none is given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help="this process measures the one network named")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        print(json.dumps(measure(arguments.names[0])))
        return 0
    print("| network | patch | parameters | memory of a step | time of a step |", flush=True)
    print("|---|---|---:|---:|---:|", flush=True)
    for name in arguments.names or MEMBERS:
        command = [sys.executable, __file__, "--one", "--threads", str(arguments.threads), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"measure_networks: {name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        got = json.loads(done.stdout)
        member = MEMBERS[name]
        patch = " x ".join(str(side) for side in member.patch if side > 1)
        patch = f"{member.batch} slices of {patch}" if member.batch > 1 else patch
        more = f" (+ {got['trained'] - got['exported']:,})" if got["trained"] > got["exported"] else ""
        print(
            f"| {name} | {patch} | {got['exported']:,}{more} | {got['gib']:.1f} GiB | {got['cpu_s']:.1f} s |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
