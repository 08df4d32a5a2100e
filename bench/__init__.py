"""How fast Pressroom is, beside its peers and its floor in one run: `make bench`, or `python -m bench --only drain,pages`.

Not part of `make test`. Linux only: processes are measured by /proc.
"""
