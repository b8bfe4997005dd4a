// A source: reads records from somewhere. This one counts from `from` to `to`, which a pipeline says in the stage's settings. What it does
// is in logic.js, which needs no host and is tested by logic.test.js.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

import { Numbers } from './logic.js';
{{imports}}

{{head}}

export const source = {
  // One reader lives for one run.
  Reader: class Reader {
    constructor(numbers) {
      this.numbers = numbers;
    }

    static open(config, cursor, window) {
      try {
        // The cursor is what the last run gave with its last batch: go on from there.
        return new Reader(new Numbers(JSON.parse(config), cursor === undefined ? undefined : JSON.parse(cursor)));
      } catch (error) {
        throw { tag: 'invalid', val: `settings: ${error.message}` };
      }
    }

    pull(maxRecords, maxBytes) {
      const records = this.numbers.take(maxRecords);
      const lines = records.map((record) => JSON.stringify(record) + '\n').join('');
      return {
        batch: { encoding: 'ndjson', count: records.length, data: new TextEncoder().encode(lines) },
        cursor: JSON.stringify(this.numbers.next),
        done: this.numbers.done,
      };
    }
  },
};
