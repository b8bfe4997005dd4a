"""python3 -m unittest"""

import unittest

from logic import Numbers


class TestNumbers(unittest.TestCase):
    def test_goes_on_where_the_cursor_says(self):
        first = Numbers({"from": 1, "to": 4}, None)
        self.assertEqual(first.take(2), [{"n": 1}, {"n": 2}])
        self.assertFalse(first.done)
        last = Numbers({"from": 1, "to": 4}, first.next)
        self.assertEqual(last.take(2), [{"n": 3}])
        self.assertTrue(last.done)

    def test_wrong_settings(self):
        with self.assertRaisesRegex(ValueError, "'from'"):
            Numbers({"from": "x", "to": 4}, None)
