import assert from 'node:assert/strict';
import { test } from 'node:test';
import { field, trim } from './logic.js';

test('trims and rejects', () => {
  const { kept, rejects } = trim([{ name: ' Ann ' }, { age: 3 }], 'name');
  assert.deepEqual(kept, [{ name: 'Ann' }]);
  assert.deepEqual(rejects, [{ index: 1, reason: "no text in 'name'" }]);
});

test('wrong settings', () => {
  assert.throws(() => field({ feild: 'name' }), /'field'/);
});
