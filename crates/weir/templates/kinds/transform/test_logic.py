"""python3 -m unittest"""

import unittest

import logic


class TestTrim(unittest.TestCase):
    def test_trims_and_rejects(self):
        kept, rejects = logic.trim([{"name": " Ann "}, {"age": 3}], "name")
        self.assertEqual(kept, [{"name": "Ann"}])
        self.assertEqual(rejects, [(1, "no text in 'name'")])

    def test_wrong_settings(self):
        with self.assertRaisesRegex(ValueError, "'field'"):
            logic.field({"feild": "name"})
