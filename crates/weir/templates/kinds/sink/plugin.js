// A sink: writes records somewhere. This one keeps each batch in the plugin's own durable state, once: a batch that comes again has the
// same key. What it does is in logic.js, which needs no host and is tested by logic.test.js.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

import * as state from 'weir:host/state@0.1.0';
import { sort } from './logic.js';
{{imports}}

{{head}}

export const sink = {
  // One writer lives for one run.
  Writer: class Writer {
    static open(config) {
      return new Writer();
    }

    push(batch, key) {
      if (batch.encoding !== 'ndjson') {
        throw { tag: 'invalid', val: 'the batch is Arrow IPC, not JSON lines' };
      }
      const given = new TextDecoder().decode(batch.data).split('\n').filter((line) => line);
      const { kept, rejects } = sort(given.map((line) => JSON.parse(line)));
      const lines = kept.map((record) => JSON.stringify(record) + '\n').join('');
      try {
        state.set(`batch/${key}`, new TextEncoder().encode(lines));
      } catch (error) {
        throw { tag: 'transient', val: { message: `state: ${error.payload?.tag ?? error}` } };
      }
      // Returning means that the records are safe.
      return rejects;
    }

    // No more records in this run.
    finish() {}
  },
};
