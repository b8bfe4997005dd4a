// Makes a component of plugin.js and what it imports, for the world in wit/: node build.mjs OUTPUT

import { componentize } from '@bytecodealliance/componentize-js';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

const [output] = process.argv.slice(2);
if (!output) {
  console.error('usage: node build.mjs OUTPUT');
  process.exit(64);
}
const { component } = await componentize({
  sourcePath: 'plugin.js',
  witPath: 'wit',
  worldName: 'plugin',
  // Features of the engine that the component would import, used or not. `http` is `fetch`, and needs the grant `http`.
  disableFeatures: [{{features}}],
});
await mkdir(dirname(output), { recursive: true });
await writeFile(output, component);
