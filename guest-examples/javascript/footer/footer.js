// A filter in JavaScript: puts a footer under the model's answers.
//
// The exported objects are the plugin's roles. What each function is for and when it is called is said in wit/v0.1; a failure is thrown as
// { tag, val }.

import { get } from 'weir:host/valves@0.1.0';
import { write } from 'weir:host/log@0.1.0';

export const lifecycle = {
  describe: () =>
    JSON.stringify({
      id: 'javascript-footer',
      version: '1.0.0',
      name: 'Footer (JavaScript)',
      description: 'Puts a footer under the answers',
    }),
  init(config) {},
  start() {
    write('info', 'footer is live', [['language', 'javascript']]);
  },
  stop() {},
};

export const valves = {
  spec: () =>
    JSON.stringify({
      type: 'object',
      properties: {
        pipelines: { type: 'array', items: { type: 'string' }, default: ['*'], description: 'Models whose answers get the footer' },
        priority: { type: 'integer', default: 0, description: 'Filters run lowest first' },
        footer: { type: 'string', default: 'Answered by a machine.' },
      },
    }),
  updated(text) {
    if (JSON.parse(text).footer.length > 500) {
      throw { tag: 'invalid', val: 'footer: at most 500 characters' };
    }
  },
};

export const filter = {
  inlet: (message) => message.body,
  outlet(message) {
    const { footer } = JSON.parse(get());
    const body = JSON.parse(message.body);
    const last = body.messages?.at(-1);
    if (typeof last?.content !== 'string') {
      throw { tag: 'invalid', val: 'body: the last message has no text' };
    }
    last.content += `\n\n${footer}`;
    return JSON.stringify(body);
  },
};
