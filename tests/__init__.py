"""The tests. What the product makes once for its process, they have made once for each of them."""

from tests import once

once.stand_in()  # before anything of the product is imported
