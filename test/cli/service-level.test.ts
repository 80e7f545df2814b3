import type { Alert } from '../../cli/prometheus';
import { describeWatched, watch } from '../../cli/service-level';
import { loadSettings } from '../../config';
import { FakeCluster } from './fake-cluster';
import { FakePrometheus } from './fake-prometheus';

const namespace = 'orfeas-local';
const settings = loadSettings('local');
const now = Date.parse('2026-01-01T12:00:00Z');

let fake: FakeCluster;
let prometheus: FakePrometheus;
beforeEach(async () => {
  fake = await FakeCluster.start();
  prometheus = await FakePrometheus.start();
  prometheus.deploy(fake);
});
afterEach(async () => {
  await prometheus.stop();
  await fake.stop();
});

const series = (name: string, value: number | string, labels: Record<string, string> = {}) => ({
  metric: { __name__: name, namespace, ...labels },
  value: `${value}`,
});

const slo = (name: string, objective: number, values: { hour?: number | string; month?: number; budget?: number } = {}) => [
  series('orfeas:slo_objective:ratio', objective, { slo: name }),
  ...(values.hour !== undefined ? [series('orfeas:slo_error:ratio_rate1h', values.hour, { slo: name })] : []),
  ...(values.month !== undefined ? [series('orfeas:slo_error:ratio_rate30d', values.month, { slo: name })] : []),
  ...(values.budget !== undefined ? [series('orfeas:slo_budget_remaining:ratio', values.budget, { slo: name })] : []),
];

const alert = (alertname: string, severity: string, more: Partial<Alert> & { in?: string } = {}): Alert => ({
  labels: { alertname, severity, namespace: more.in ?? namespace },
  annotations: { summary: `what ${alertname} means`, runbook_url: `https://docs.example.com/${alertname}.md` },
  state: 'firing',
  activeAt: '2026-01-01T11:55:00Z',
  ...more,
});

const paragraphs = async (): Promise<string[]> => describeWatched(await watch(fake.connect(), settings), now);

test('the service level is shown as shares of what went well', async () => {
  prometheus.series = [
    ...slo('job-latency', 0.95, { hour: 0.25, month: 0.075, budget: -0.5 }),
    ...slo('availability', 0.995, { hour: 0, month: 0.0007, budget: 0.86 }),
  ];
  const [table] = await paragraphs();
  expect(table).toBe(
    [
      'SERVICE LEVEL  OBJECTIVE  1 HOUR  30 DAYS  BUDGET LEFT',
      'availability   99.5 %     100 %   99.93 %  86 %',
      'job-latency    95 %       75 %    92.5 %   -50 %',
    ].join('\n'),
  );
});

test('an objective without events says so, and one without events in this hour leaves it open', async () => {
  prometheus.series = [
    ...slo('availability', 0.995),
    ...slo('job-success', 0.98, { hour: 'NaN' }),
    ...slo('queue-wait', 0.95, { month: 0, budget: 1 }),
  ];
  const [table] = await paragraphs();
  expect(table).toMatch(/availability +99\.5 % +- +no requests yet +-$/m);
  expect(table).toMatch(/job-success +98 % +- +no jobs yet +-$/m);
  expect(table).toMatch(/queue-wait +95 % +- +100 % +100 %$/m);
});

test('a Prometheus that has just started has recorded nothing yet', async () => {
  expect(await paragraphs()).toEqual(['Prometheus has recorded no service level yet', '0 alert(s) firing']);
});

test('the queue is shown with its oldest job, and the slots of all pods', async () => {
  prometheus.series = [
    series('orfeas:queue_jobs:max', 3),
    series('orfeas:queue_oldest_job_age_seconds:max', 150),
    series('orfeas_jobs_running', 2, { pod: 'backend-a' }),
    series('orfeas_jobs_running', 1, { pod: 'backend-b' }),
    series('orfeas_job_slots', 3, { pod: 'backend-a' }),
    series('orfeas_job_slots', 3, { pod: 'backend-b' }),
    series('orfeas_backup_last_success_timestamp_seconds', now / 1000 - 5 * 3600),
  ];
  expect((await watch(fake.connect(), settings)).queue).toEqual({ waiting: 3, oldestSeconds: 150, running: 3, slots: 6 });
  expect((await paragraphs())[1]).toBe(
    'Queue: 3 job(s) waiting, the oldest for 2m; 3 of 6 slots at work\nLast backup: 5h ago\n0 alert(s) firing',
  );
});

test('the last verification of a backup is shown with its result', async () => {
  const verified = (succeeded: number) => [
    series('orfeas_backup_last_verification_timestamp_seconds', now / 1000 - 3 * 86_400),
    series('orfeas_backup_last_verification_succeeded', succeeded),
  ];
  prometheus.series = verified(1);
  expect((await watch(fake.connect(), settings)).lastVerification).toEqual({ time: '2025-12-29T12:00:00.000Z', succeeded: true });
  expect((await paragraphs())[1]).toBe('Last verification of a backup: 3d ago\n0 alert(s) firing');
  prometheus.series = verified(0);
  expect((await paragraphs())[1]).toBe('Last verification of a backup: 3d ago, and it failed\n0 alert(s) firing');
});

test('an empty queue has no oldest job', async () => {
  prometheus.series = [series('orfeas:queue_jobs:max', 0), series('orfeas:queue_oldest_job_age_seconds:max', 0)];
  expect((await paragraphs())[1]).toBe('Queue: 0 job(s) waiting\n0 alert(s) firing');
});

test('alerts of the studio are shown, the most urgent first, with their runbooks; pending ones are counted', async () => {
  prometheus.alerts = [
    alert('OrfeasGpuHot', 'warning'),
    alert('OrfeasWebDown', 'critical'),
    alert('OrfeasQueueGrowing', 'warning', { state: 'pending' }),
    alert('OrfeasWebDown', 'critical', { in: 'orfeas-staging' }),
    alert('InfoInhibitor', 'none'),
  ];
  const { alerts } = await watch(fake.connect(), settings);
  expect(alerts.pending).toBe(1);
  expect(alerts.firing[0]).toEqual({
    name: 'OrfeasWebDown',
    severity: 'critical',
    summary: 'what OrfeasWebDown means',
    since: '2026-01-01T11:55:00Z',
    runbook: 'https://docs.example.com/OrfeasWebDown.md',
  });
  expect((await paragraphs())[1]).toBe(
    [
      '2 alert(s) firing, 1 about to:',
      'SEVERITY  ALERT          SINCE  SUMMARY',
      'critical  OrfeasWebDown  5m     what OrfeasWebDown means',
      '  → https://docs.example.com/OrfeasWebDown.md',
      'warning   OrfeasGpuHot   5m     what OrfeasGpuHot means',
      '  → https://docs.example.com/OrfeasGpuHot.md',
    ].join('\n'),
  );
});

test('Prometheus is asked for the series of this namespace alone', async () => {
  await watch(fake.connect(), settings);
  expect(prometheus.expressions).toEqual([expect.stringContaining(`namespace="${namespace}"`)]);
});

describe('a Prometheus that cannot be asked is an error that says why', () => {
  test('when it refuses the question', async () => {
    prometheus.intercept = async () => ({ status: 503, text: '{"status":"error","error":"query timed out"}' });
    await expect(watch(fake.connect(), settings)).rejects.toThrow('Prometheus answers 503: query timed out');
  });

  test('when something else answers in its place', async () => {
    prometheus.intercept = async () => ({ status: 200, text: '<html>login</html>' });
    await expect(watch(fake.connect(), settings)).rejects.toThrow('Prometheus answers 200: <html>login</html>');
  });

  test('when it does not answer in time', async () => {
    jest.spyOn(AbortSignal, 'timeout').mockReturnValueOnce(AbortSignal.abort(new DOMException('late', 'TimeoutError')));
    prometheus.intercept = () => new Promise(() => {});
    await expect(watch(fake.connect(), settings)).rejects.toMatchObject({
      message: 'Prometheus does not answer within 5 s',
      remedy: expect.stringContaining('orfeas open prometheus'),
    });
  });

  test('when its pod takes no connection', async () => {
    fake.ports.clear();
    await expect(watch(fake.connect(), settings)).rejects.toThrow('Port 9090 of Pod/prometheus-0 takes no connection: connection refused');
  });
});
