import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Numbers } from './logic.js';

test('goes on where the cursor says', () => {
  const first = new Numbers({ from: 1, to: 4 });
  assert.deepEqual(first.take(2), [{ n: 1 }, { n: 2 }]);
  assert.equal(first.done, false);
  const last = new Numbers({ from: 1, to: 4 }, first.next);
  assert.deepEqual(last.take(2), [{ n: 3 }]);
  assert.equal(last.done, true);
});

test('wrong settings', () => {
  assert.throws(() => new Numbers({ from: 'x', to: 4 }), /'from'/);
});
