// Runs a TypeScript program: node scripts/run.js FILE
//
// The program is bundled into one script, and what V8 compiled of it is kept, so that the next start neither reads nor compiles its modules
// one by one. Both are made anew whenever a file that is in the bundle has changed, or one beside it came or went.
const { createHash, randomUUID } = require('node:crypto');
const { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } = require('node:fs');
const { createRequire, wrap } = require('node:module');
const { dirname, join, relative, resolve } = require('node:path');
const { cachedDataVersionTag, setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');

// A program that ends within a second is over before optimizing most of its functions has paid.
setFlagsFromString('--interrupt-budget=1500000');

const ROOT = dirname(__dirname);
const CACHE = join(ROOT, 'node_modules/.cache/run');
/** What a bundle depends on besides its own sources. */
const OTHERS = [__filename, join(ROOT, 'tsconfig.json'), require.resolve('esbuild/package.json')];

/** What cannot be kept is made again. */
function keep(file, content) {
  const partial = `${file}.${randomUUID()}`;
  try {
    writeFileSync(partial, content);
    renameSync(partial, file);
  } catch {}
}

const kept = file => {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
};

/** Differs when a file was changed or replaced, whatever its times were set to; of a folder, when another source is in it. */
function stateOf(path) {
  const state = statSync(path);
  return state.isDirectory()
    ? readdirSync(path)
        .filter(name => /\.(ts|js|json)$/.test(name))
        .join()
    : state.ctimeMs;
}

function isFresh(states) {
  try {
    return states.every(([path, state]) => stateOf(`${ROOT}/${path}`) === state);
  } catch {
    return false;
  }
}

/** esbuild looks through all that a package exports for each file that imports it: the second one gets what the first one got. */
const lookOnce = code =>
  code.replace(
    /__toESM=(\(mod,isNodeMode,target\)=>\(.*?,mod\)\))(?=,__toCommonJS)/,
    '__seen=[new Map,new Map],__toESM=(mod,isNodeMode)=>{let seen=__seen[isNodeMode?1:0];return seen.has(mod)||seen.set(mod,($1)(mod,isNodeMode)),seen.get(mod)}',
  );

function bundle(program) {
  const started = Date.now();
  const { outputFiles, metafile } = require('esbuild').buildSync({
    entryPoints: [program],
    absWorkingDir: ROOT,
    bundle: true,
    platform: 'node',
    target: `node${process.versions.node}`,
    minifySyntax: true,
    minifyWhitespace: true,
    metafile: true,
    write: false,
  });
  const files = Object.keys(metafile.inputs)
    .map(path => join(ROOT, path))
    .concat(OTHERS);
  const folders = new Set(files.map(dirname));
  const states = [...files, ...folders].map(path => [relative(ROOT, path), stateOf(path)]);
  // What changes while it is being bundled may be in the bundle or not.
  if (files.some(path => statSync(path).ctimeMs >= started)) throw new Error('A source has just been changed');
  return { code: wrap(lookOnce(outputFiles[0].text)), states };
}

/** The program's script, and where what V8 compiles of it is kept. */
function load(program) {
  const folder = join(CACHE, relative(ROOT, program).replace(/\W/g, '-'));
  const fileOf = id => join(folder, `${id}.js`);
  const index = kept(join(folder, 'index.json'));
  if (index) {
    const { id, states } = JSON.parse(index);
    const code = isFresh(states) && kept(fileOf(id));
    if (code) return { code: code.toString(), file: fileOf(id) };
  }
  const { code, states } = bundle(program);
  const id = createHash('sha256').update(code).digest('hex');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  keep(fileOf(id), code);
  keep(join(folder, 'index.json'), JSON.stringify({ id, states }));
  return { code, file: fileOf(id) };
}

/** @throws what the program throws, and what is wrong with its syntax */
function runBundled(program) {
  const { code, file } = load(program);
  const compiled = `${file}.${cachedDataVersionTag()}`;
  const cachedData = kept(compiled);
  const script = new Script(code, { filename: file, cachedData });
  if (!cachedData || script.cachedDataRejected) process.once('exit', () => keep(compiled, script.createCachedData()));
  const module = { exports: {} };
  script.runInThisContext().call(module.exports, module.exports, createRequire(program), module, program, ROOT);
}

/** Slower, with lines of the sources in its errors. */
function runSources(program) {
  require('tsx/cjs/api').register();
  import('tsx/esm/api').then(({ register }) => {
    register();
    require(program);
  });
}

/** Runs a program in place of the one that Node was started with. */
function run(program) {
  process.argv[1] = program;
  // Whoever wants to see where an error comes from looks for it in the sources.
  if (process.argv.includes('--debug')) return runSources(program);
  try {
    runBundled(program);
  } catch {
    runSources(program);
  }
}

module.exports = { run };
if (require.main === module) run(resolve(...process.argv.splice(2, 1)));
