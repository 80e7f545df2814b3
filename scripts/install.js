// Installs what the lock file says, unless it is installed already. Runs before any dependency is there.
const { createHash } = require('node:crypto');
const { spawnSync } = require('node:child_process');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const stamp = join(root, 'node_modules/.installed-lock');
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 15)) {
  console.error(`error: this is Node ${process.versions.node}; it must be 20.15 or newer`);
  process.exit(1);
}
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  console.error('Installing the dependencies that package-lock.json names …');
  const { status } = spawnSync('npm ci --no-audit --no-fund --loglevel=error', { cwd: root, shell: true, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    console.error(
      'error: npm ci failed, for the reason above\n  → see that the npm registry can be reached, and run the same command again',
    );
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}
