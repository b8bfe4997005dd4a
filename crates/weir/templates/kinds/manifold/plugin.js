// A manifold: one plugin, two models. People see `{{name}}.loud` and `{{name}}.quiet`; the pipe is told which one was asked for.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

{{imports}}

{{head}}

export const manifold = {
  models: () => [
    { id: 'loud', name: 'Loud' },
    { id: 'quiet', name: 'Quiet' },
  ],
};

export const pipe = {
  {{async}}run(request, reply) {
    {{use}}
    const words = JSON.parse(request.userMessage);
    reply.write({ tag: 'text', val: answer(request.model, typeof words === 'string' ? words : '') });
  },
};

// What this model says to these words.
function answer(model, words) {
  switch (model) {
    case 'loud':
      return words.toUpperCase();
    case 'quiet':
      return words.toLowerCase();
    default:
      throw { tag: 'invalid', val: `no model is called '${model}'; there are loud and quiet` };
  }
}
