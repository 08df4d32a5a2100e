"""One module for each group of figures; each of their functions measures some, and yields the rows of the table."""
