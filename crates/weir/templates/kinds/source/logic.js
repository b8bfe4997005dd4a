// What the plugin does, without the host.

// The numbers from `from` to before `to`, or from the cursor on.
export class Numbers {
  constructor(config, cursor) {
    for (const key of ['from', 'to']) {
      if (!Number.isInteger(config[key])) {
        throw new Error(`'${key}' must be a whole number, and is ${JSON.stringify(config[key])}`);
      }
    }
    this.next = cursor ?? config.from;
    this.to = config.to;
  }

  // The next records, at most so many.
  take(most) {
    const records = [];
    for (; this.next < this.to && records.length < most; this.next++) {
      records.push({ n: this.next });
    }
    return records;
  }

  get done() {
    return this.next >= this.to;
  }
}
