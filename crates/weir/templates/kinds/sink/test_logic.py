"""python3 -m unittest"""

import unittest

from logic import sort


class TestSort(unittest.TestCase):
    def test_gives_up_on_what_is_no_object(self):
        self.assertEqual(sort([{"a": 1}, 2]), ([{"a": 1}], [(1, "the record is no object")]))
