import type { Settings } from '../config';
import type { Cluster } from './cluster';
import { age, table } from './outcome';
import { type Alert, askPrometheus, type Sample } from './prometheus';

/** How one objective is met. Shares of good events, 0 to 1; absent where there were none. */
export interface ObjectiveStatus {
  readonly slo: string;
  readonly objective: number;
  readonly lastHour?: number;
  readonly last30Days?: number;
  /** Share of the errors that 30 days allow that is left; negative when overspent. */
  readonly budgetRemaining?: number;
}

export interface QueueStatus {
  readonly waiting: number;
  readonly oldestSeconds?: number;
  readonly running?: number;
  readonly slots?: number;
}

export interface FiringAlert {
  readonly name: string;
  readonly severity: string;
  readonly summary: string;
  /** ISO 8601. */
  readonly since: string;
  readonly runbook?: string;
}

/** What Prometheus knows of the studio. */
export interface Watched {
  readonly serviceLevel: readonly ObjectiveStatus[];
  /** Absent while no backend has told of it. */
  readonly queue?: QueueStatus;
  /** When the last backup that succeeded ended, as ISO 8601. */
  readonly lastBackup?: string;
  /** The last time that a backup was read back and compared. */
  readonly lastVerification?: {
    /** ISO 8601. */
    readonly time: string;
    readonly succeeded: boolean;
  };
  readonly alerts: { readonly firing: readonly FiringAlert[]; readonly pending: number };
}

const metrics = {
  objective: 'orfeas:slo_objective:ratio',
  errorsOfHour: 'orfeas:slo_error:ratio_rate1h',
  errorsOf30Days: 'orfeas:slo_error:ratio_rate30d',
  budget: 'orfeas:slo_budget_remaining:ratio',
  waiting: 'orfeas:queue_jobs:max',
  oldest: 'orfeas:queue_oldest_job_age_seconds:max',
  running: 'orfeas_jobs_running',
  slots: 'orfeas_job_slots',
  backup: 'orfeas_backup_last_success_timestamp_seconds',
  verification: 'orfeas_backup_last_verification_timestamp_seconds',
  verified: 'orfeas_backup_last_verification_succeeded',
} as const;

/** Most urgent first. Others, such as the `none` of kube-prometheus-stack, are there for Alertmanager. */
const SEVERITIES = ['critical', 'warning', 'info'];

function objectives(samples: readonly Sample[]): ObjectiveStatus[] {
  const ratio = (metric: string, slo: string) => samples.find(({ labels }) => labels.__name__ === metric && labels.slo === slo)?.value;
  return samples
    .filter(({ labels }) => labels.__name__ === metrics.objective)
    .map(({ labels: { slo = '' }, value: objective }) => {
      const [hour, month, budgetRemaining] = [metrics.errorsOfHour, metrics.errorsOf30Days, metrics.budget].map(metric =>
        ratio(metric, slo),
      );
      return {
        slo,
        objective,
        ...(hour !== undefined && { lastHour: 1 - hour }),
        ...(month !== undefined && { last30Days: 1 - month }),
        ...(budgetRemaining !== undefined && { budgetRemaining }),
      };
    })
    .sort((a, b) => a.slo.localeCompare(b.slo));
}

const isoTime = (seconds: number): string => new Date(seconds * 1000).toISOString();

function queue(samples: readonly Sample[]): QueueStatus | undefined {
  const values = (metric: string) => samples.filter(({ labels }) => labels.__name__ === metric).map(({ value }) => value);
  // Each pod has slots of its own; the queue is the same for all.
  const sum = (metric: string) => (values(metric).length > 0 ? values(metric).reduce((total, value) => total + value) : undefined);
  const [waiting] = values(metrics.waiting);
  const [oldestSeconds] = values(metrics.oldest);
  const running = sum(metrics.running);
  const slots = sum(metrics.slots);
  if (waiting === undefined) return undefined;
  return {
    waiting,
    ...(oldestSeconds !== undefined && waiting > 0 && { oldestSeconds }),
    ...(running !== undefined && { running }),
    ...(slots !== undefined && { slots }),
  };
}

const urgency = ({ severity }: FiringAlert): number => SEVERITIES.indexOf(severity);

const firing = ({ labels, annotations, activeAt }: Alert): FiringAlert => ({
  name: labels.alertname ?? '',
  severity: labels.severity ?? '',
  summary: annotations.summary ?? annotations.description ?? '',
  since: activeAt,
  ...(annotations.runbook_url && { runbook: annotations.runbook_url }),
});

/**
 * Asks Prometheus how the studio serves its users, and what it warns of.
 *
 * @throws CommandError when it cannot be asked.
 */
export const watch = (cluster: Cluster, settings: Settings): Promise<Watched> =>
  askPrometheus(cluster, settings, async prometheus => {
    const { namespace } = settings;
    const samples = await prometheus.query(`{__name__=~"${Object.values(metrics).join('|')}", namespace="${namespace}"}`);
    const alerts = (await prometheus.alerts()).filter(
      ({ labels }) => labels.namespace === namespace && SEVERITIES.includes(labels.severity ?? ''),
    );
    const state = queue(samples);
    const value = (metric: string) => samples.find(({ labels }) => labels.__name__ === metric)?.value;
    const [backup, verification, verified] = [metrics.backup, metrics.verification, metrics.verified].map(value);
    return {
      serviceLevel: objectives(samples),
      ...(state && { queue: state }),
      ...(backup !== undefined && { lastBackup: isoTime(backup) }),
      ...(verification !== undefined && { lastVerification: { time: isoTime(verification), succeeded: verified === 1 } }),
      alerts: {
        firing: alerts
          .filter(alert => alert.state === 'firing')
          .map(firing)
          .sort((a, b) => urgency(a) - urgency(b) || a.name.localeCompare(b.name)),
        pending: alerts.filter(alert => alert.state === 'pending').length,
      },
    };
  });

export const isCritical = ({ severity }: FiringAlert): boolean => severity === 'critical';

const percent = (share: number | undefined): string => (share === undefined ? '-' : `${Number((share * 100).toFixed(3))} %`);

const since = (time: string, now: number): string => age((now - new Date(time).getTime()) / 1000);

function describeAlerts({ firing, pending }: Watched['alerts'], now: number): string {
  const count = `${firing.length} alert(s) firing${pending > 0 ? `, ${pending} about to` : ''}`;
  if (firing.length === 0) return count;
  const rows = firing.map(({ severity, name, since: start, summary }) => [severity, name, since(start, now), summary]);
  const [header, ...lines] = table([['SEVERITY', 'ALERT', 'SINCE', 'SUMMARY'], ...rows]).split('\n');
  const runbooks = firing.map(({ runbook }) => (runbook ? [`  → ${runbook}`] : []));
  return [`${count}:`, header, ...lines.flatMap((line, index) => [line, ...(runbooks[index] ?? [])])].join('\n');
}

function describeQueue({ waiting, oldestSeconds, running, slots }: QueueStatus): string {
  const oldest = oldestSeconds === undefined ? '' : `, the oldest for ${age(oldestSeconds)}`;
  const work = running === undefined || slots === undefined ? '' : `; ${running} of ${slots} slots at work`;
  return `Queue: ${waiting} job(s) waiting${oldest}${work}`;
}

function describeBackups({ lastBackup, lastVerification }: Watched, now: number): string[] {
  const ago = (time: string): string => `${since(time, now)} ago`;
  return [
    ...(lastBackup ? [`Last backup: ${ago(lastBackup)}`] : []),
    ...(lastVerification
      ? [`Last verification of a backup: ${ago(lastVerification.time)}${lastVerification.succeeded ? '' : ', and it failed'}`]
      : []),
  ];
}

/** The paragraphs of orfeas status. */
export function describeWatched(watched: Watched, now: number): string[] {
  const { serviceLevel, queue, alerts } = watched;
  const rows = serviceLevel.map(({ slo, objective, lastHour, last30Days, budgetRemaining }) => [
    slo,
    percent(objective),
    percent(lastHour),
    last30Days === undefined ? `no ${slo === 'availability' ? 'requests' : 'jobs'} yet` : percent(last30Days),
    percent(budgetRemaining),
  ]);
  return [
    rows.length > 0
      ? table([['SERVICE LEVEL', 'OBJECTIVE', '1 HOUR', '30 DAYS', 'BUDGET LEFT'], ...rows])
      : 'Prometheus has recorded no service level yet',
    [...(queue ? [describeQueue(queue)] : []), ...describeBackups(watched, now), describeAlerts(alerts, now)].join('\n'),
  ];
}
