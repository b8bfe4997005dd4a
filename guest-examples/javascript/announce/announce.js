// A hook in JavaScript: tells everybody on the event bus that a chat was answered, and by whom. Not what was said. The grants are in
// javascript-announce.toml.

import { emit } from 'weir:host/events@0.1.0';

export const lifecycle = {
  describe: () =>
    JSON.stringify({
      id: 'javascript-announce',
      version: '1.0.0',
      name: 'Chats announced (JavaScript)',
      description: 'Emits an event for each chat that was answered',
      hooks: [{ point: 'chat_request', mode: 'after', on_failure: 'skip' }],
    }),
  init(config) {},
  start() {},
  stop() {},
};

export const hooks = {
  before: (point, context) => context,
  after(point, text) {
    const { context, result } = JSON.parse(text);
    try {
      emit('chats.answered', JSON.stringify({ plugin: context.plugin, model: context.model, items: result.items, bytes: result.bytes }));
    } catch (error) {
      // The chat was answered: that nobody hears of it is no reason to fail.
      console.warn(`chats.answered was not told: ${error.payload?.tag ?? error}`);
    }
    return JSON.stringify(result);
  },
  around: (point, context, next) => next.run(context),
  replace(point) {
    throw { tag: 'internal', val: `this plugin does not replace '${point}'` };
  },
};
