#!/usr/bin/env node
// Plain JavaScript, since it runs where neither a new Node nor the dependencies may be.
const fail = message => {
  console.error(`error: ${message}`);
  process.exit(1);
};

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 15)) fail(`Node 20.15 or later is needed, this is ${process.versions.node}`);
try {
  require.resolve('tsx/cjs/api');
} catch {
  fail('the dependencies are not installed\n  → run npm start first');
}
require('../scripts/run.js').run(require.resolve('./orfeas.ts'));
