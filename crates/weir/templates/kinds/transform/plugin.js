// A transform: turns records into records. This one trims the text in a field, which a pipeline names in the stage's settings, and rejects
// records without it. What it does is in logic.js, which needs no host and is tested by logic.test.js.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

import { field, trim } from './logic.js';
{{imports}}

{{head}}

export const transform = {
  // One transformer lives for one run.
  Transformer: class Transformer {
    constructor(field) {
      this.field = field;
    }

    static open(config) {
      try {
        return new Transformer(field(JSON.parse(config)));
      } catch (error) {
        throw { tag: 'invalid', val: `settings: ${error.message}` };
      }
    }

    apply(batch) {
      if (batch.encoding !== 'ndjson') {
        throw { tag: 'invalid', val: 'the batch is Arrow IPC, not JSON lines' };
      }
      const given = new TextDecoder().decode(batch.data).split('\n').filter((line) => line);
      const { kept, rejects } = trim(given.map((line) => JSON.parse(line)), this.field);
      const lines = kept.map((record) => JSON.stringify(record) + '\n').join('');
      return { batch: { encoding: 'ndjson', count: kept.length, data: new TextEncoder().encode(lines) }, rejects };
    }

    // Nothing is held back.
    finish() {
      return undefined;
    }
  },
};
