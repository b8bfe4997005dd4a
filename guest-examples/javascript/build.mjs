// Makes a component of a plugin in JavaScript: node build.mjs SOURCE WORLD OUTPUT
//
// The world must hold only what the plugin uses: all its imports end up in the component, and each may need a grant. So are the engine's own
// features `http` and `fetch-event` left out.

import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const [source, worldName, output] = process.argv.slice(2);
if (!output) {
  console.error('usage: node build.mjs SOURCE WORLD OUTPUT');
  process.exit(64);
}
const { component } = await componentize(await readFile(source, 'utf8'), {
  witPath: fileURLToPath(new URL('../../wit/v0.1', import.meta.url)),
  worldName,
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(output, component);
