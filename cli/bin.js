#!/usr/bin/env node
// Plain JavaScript, since it runs where neither a new Node nor the dependencies may be.
const fail = message => {
  console.error(`error: ${message}`);
  process.exit(1);
};

if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node 20 or later is needed, this is ${process.versions.node}`);
try {
  require.resolve('tsx/cjs/api');
} catch {
  fail('the dependencies are not installed\n  → run npm start first');
}
require('tsx/cjs/api').register();
import('tsx/esm/api').then(({ register }) => {
  register();
  require('./main.ts').main(process.argv);
});
