"""How evenly jobs spread over shards or installations, when some users order far more than others.

    python -m bench.simulations.shares

Users order by Zipf's law (the n-th of them one n-th as often as the first). A shard's load is the jobs it holds; 1.00 is the
mean of all shards, and the fullest decides how many are needed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import heapify, heapreplace
from itertools import accumulate

SEED = 1
JOBS = 200_000
USERS = 10_000
SHARDS = (2, 4, 8, 16, 32)


def orders() -> list[int]:
    """Whose each job is, by Zipf's law."""
    chance = random.Random(SEED)
    return chance.choices(range(USERS), cum_weights=[*accumulate(1 / n for n in range(1, USERS + 1))], k=JOBS)


def hashed(thing: object) -> int:
    return int.from_bytes(blake2b(str(thing).encode(), digest_size=8).digest())


def fullest(placed: Sequence[int], shards: int) -> float:
    """The load of the fullest shard, the mean being 1."""
    return max(Counter(placed).values()) / len(placed) * shards


def by_table(ordered: Counter[int], shards: int) -> Callable[[int], int]:
    """Users placed one by one, whoever orders most first, each where the least is."""
    room = [(0, shard) for shard in range(shards)]
    heapify(room)
    table: dict[int, int] = {}
    for user, jobs in ordered.most_common():
        load, shard = room[0]
        table[user] = shard
        heapreplace(room, (load + jobs, shard))
    return table.__getitem__


def main() -> None:
    users = orders()
    ordered = Counter(users)
    largest = ordered.most_common(1)[0][1] / JOBS
    print(f"{JOBS:,} jobs of {len(ordered):,} users, the largest of whom orders {largest:.1%} of all. The fullest shard:\n")
    print("| shards | `_id` hashed | `user_id` hashed | users by a table |\n|---|---|---|---|")
    for shards in SHARDS:
        by_id = fullest([hashed(f"job {n}") % shards for n in range(JOBS)], shards)
        by_user = fullest([hashed(f"user {user}") % shards for user in users], shards)
        place = by_table(ordered, shards)
        tabled = fullest([place(user) for user in users], shards)
        print(f"| {shards} | {by_id:.2f} | {by_user:.2f} | {tabled:.2f} |")


if __name__ == "__main__":
    main()
