import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sort } from './logic.js';

test('gives up on what is no object', () => {
  assert.deepEqual(sort([{ a: 1 }, 2]), { kept: [{ a: 1 }], rejects: [{ index: 1, reason: 'the record is no object' }] });
});
