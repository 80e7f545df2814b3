import { describePhase, parseLine } from '../../cli/backups';

test.each([
  [{ phase: 'redis', status: 'started' }, 'redis started'],
  [{ phase: 'redis', status: 'done', bytes: 1536 }, 'redis done: 1.5 KiB'],
  [{ phase: 'monitoring', status: 'skipped', reason: 'Prometheus is down' }, 'monitoring skipped: Prometheus is down'],
  [
    { phase: 'archive', status: 'progress', files: 3, bytes: 2 ** 30, totalBytes: 2 ** 32, bytesPerSecond: 200 * 2 ** 20 },
    'archive: 25 %, 1.0 GiB of 4.0 GiB, 3 files, 200 MiB/s',
  ],
  [{ phase: 'archive', status: 'progress', bytes: 0, totalBytes: 0 }, 'archive: 0 B'],
  [{ phase: 'stage', part: 'outputs', status: 'failed', error: 'no room' }, 'stage outputs failed: no room'],
] as const)('%j is shown as "%s"', (event, text) => {
  expect(describePhase(event)).toBe(text);
});

test.each(['opening', '7', 'null', '{"message_type":"exit_error","code":12}', '{"half'])('%s in a log is no document', line => {
  expect(parseLine(line)).toBeUndefined();
});
