import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { withNginx } from './nginx';

const FUZZ = join(__dirname, '../../../bench/fuzz.py');
const GROWTH_KIBIBYTES = 16 * 1024;

const residentKibibytes = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

test('Malformed requests break nothing, and none is answered as a fault of ours', () =>
  withNginx({}, async nginx => {
    const before = nginx.workers.map(pid => [pid, residentKibibytes(pid)] as const);
    const url = `http://127.0.0.1:${nginx.ports.web}`;
    // It fails, with all that it found in the message, when an answer must not be.
    const { stdout } = await promisify(execFile)('python3', [FUZZ, '--url', url, '--requests', '600', '--pictures', '50']);
    const { requests, pictures } = JSON.parse(stdout);
    assert.ok(requests['400 bad_request'] > 100, stdout);
    assert.ok(requests['404'] > 10, stdout);
    assert.deepEqual(
      Object.keys(requests).filter(answer => answer.startsWith('5')),
      [],
      stdout,
    );
    assert.deepEqual(pictures, { 200: 50 });
    assert.deepEqual(
      nginx.workers,
      before.map(([pid]) => pid),
      'no worker ended',
    );
    for (const [pid, kibibytes] of before) assert.ok(residentKibibytes(pid) - kibibytes < GROWTH_KIBIBYTES);
    assert.doesNotMatch(nginx.log, /\[(alert|emerg|crit)\]/);
  }));
