"""What `docs/scaling.md` rests on and no figure of the bench shows: loads played through with random numbers of a fixed seed,
which takes seconds and comes out the same each time; and what a change stream costs MongoDB.

    python -m bench.simulations.waiting
    python -m bench.simulations.shares
    python -m bench.simulations.streams
"""
