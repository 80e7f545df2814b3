import { loadSettings, type Settings } from '../../config';
import type { CertificateFacts } from '../certificate';
import { Cluster } from '../cluster';
import { type Problem, podsOf, workloadProblems } from '../diagnose';
import { CommandError } from '../errors';
import { manifests } from '../manifests';
import { type Claim, title } from '../objects';
import { age, type CommonOptions, type Outcome, table } from '../outcome';
import { isRolledOut, isWorkload, observe, report, type Workload } from '../rollout';
import { describeWatched, isCritical, type Watched, watch } from '../service-level';
import { expiryWarning, readCertificate } from '../tls';

export interface WorkloadStatus {
  readonly object: string;
  readonly ready: number;
  readonly desired: number;
  readonly version: string;
  readonly ageSeconds?: number;
  readonly restarts: number;
  /** Runs what the manifests ask for, in full. */
  readonly ok: boolean;
}

export interface ClaimStatus {
  readonly name: string;
  readonly phase: string;
  readonly size: string;
}

/** What Prometheus knows is absent where it cannot be asked: `warnings` tells why. */
export interface StatusResult extends Partial<Watched> {
  readonly environment: string;
  readonly namespace: string;
  readonly context: string;
  readonly deployed: boolean;
  readonly workloads: readonly WorkloadStatus[];
  readonly claims: readonly ClaimStatus[];
  readonly certificate?: CertificateFacts;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  readonly url: string;
}

const tagOf = (image: string): string => /:([\w][\w.-]*)(@.*)?$/.exec(image)?.[1] ?? image;

/** What Prometheus knows, or why it cannot be asked; neither where nothing watches the studio. */
async function ask(cluster: Cluster, settings: Settings): Promise<{ watched?: Watched; warning?: string }> {
  if (!settings.monitoring.metrics) return {};
  try {
    return { watched: await watch(cluster, settings) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { warning: `the service level is not known: ${error.message}${error.remedy ? ` → ${error.remedy}` : ''}` };
  }
}

/** Tells what runs, what does not, and why. */
export async function status(options: CommonOptions): Promise<Outcome<StatusResult>> {
  const settings = loadSettings(options.env);
  const { environment, namespace, host } = settings;
  const cluster = Cluster.connect(options.context);
  const expected = manifests(settings)
    .flatMap(({ objects }) => objects)
    .filter(isWorkload);
  const [observation, live, certificate, { watched, warning }] = await Promise.all([
    observe(cluster, namespace),
    Promise.all(expected.map(object => cluster.get<Workload>(object))),
    readCertificate(cluster, namespace),
    ask(cluster, settings),
  ]);

  const now = Date.now();
  const workloads = expected.map((object, index): WorkloadStatus => {
    const workload = live[index];
    if (workload === undefined)
      return {
        object: title(object),
        ready: 0,
        desired: (object as unknown as Workload).spec?.replicas ?? 1,
        version: '-',
        restarts: 0,
        ok: false,
      };
    const pods = podsOf(workload, observation.pods);
    return {
      object: title(object),
      ready: workload.status?.readyReplicas ?? 0,
      desired: workload.spec?.replicas ?? 1,
      version: tagOf(workload.spec?.template.spec?.containers[0]?.image ?? '-'),
      ageSeconds: Math.round((now - new Date(workload.metadata.creationTimestamp ?? now).getTime()) / 1000),
      restarts: pods.flatMap(pod => pod.status?.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0),
      ok: isRolledOut(workload),
    };
  });
  const claims = observation.claims.map(
    (claim: Claim): ClaimStatus => ({
      name: claim.metadata.name,
      phase: claim.status?.phase ?? 'Pending',
      size: claim.status?.capacity?.storage ?? claim.spec?.resources?.requests?.storage ?? '-',
    }),
  );
  const deployed = live.some(workload => workload !== undefined);
  const problems = live.flatMap((workload, index): Problem[] => {
    if (workload === undefined) {
      if (!deployed) return [];
      const object = title(expected[index] as Workload);
      return [{ object, reason: 'Missing', message: 'it is not in the cluster', remedy: `orfeas deploy --env ${environment}` }];
    }
    const object = expected[index] as unknown as Workload;
    if (workload.spec?.replicas === 0 && object.spec?.replicas !== 0) {
      const remedy = `run a restore that was cut off again, or start it: orfeas deploy --skip-build --env ${environment}`;
      return [{ object: title(object), reason: 'Stopped', message: 'it is scaled to 0 pods', remedy }];
    }
    return isRolledOut(workload) ? [] : workloadProblems(workload, observation);
  });
  const warnings: string[] = [];
  if (certificate === undefined) {
    warnings.push(
      `there is no certificate: ${settings.edge.certificate.source === 'secret' ? `orfeas tls --env ${environment}` : 'cert-manager has not got one yet'}`,
    );
  } else {
    const soon = expiryWarning(certificate);
    if (soon) warnings.push(soon);
  }
  if (warning) warnings.push(warning);
  const critical = watched?.alerts.firing.some(isCritical) ?? false;
  const ok = deployed && problems.length === 0 && certificate !== undefined && certificate.daysLeft >= 0 && !critical;
  const result: StatusResult = {
    environment,
    namespace,
    context: cluster.context,
    deployed,
    workloads,
    claims,
    ...(certificate && { certificate }),
    ...watched,
    problems,
    warnings: deployed ? warnings : [],
    url: `https://${host}/`,
  };
  if (!deployed) {
    return {
      ok,
      result,
      text: `Nothing is deployed in ${namespace} of the cluster "${cluster.context}"\n  → orfeas deploy --env ${environment}`,
    };
  }
  const reports = await Promise.all(problems.map(problem => report(cluster, namespace, problem)));
  const text = [
    `${environment} in ${namespace} of the cluster "${cluster.context}": ${result.url}`,
    table([
      ['WORKLOAD', 'READY', 'VERSION', 'AGE', 'RESTARTS'],
      ...workloads.map(({ object, ready, desired, version, ageSeconds, restarts }) => [
        object,
        `${ready}/${desired}`,
        version,
        ageSeconds === undefined ? '-' : age(ageSeconds),
        `${restarts}`,
      ]),
    ]),
    ...(claims.length > 0 ? [table([['CLAIM', 'STATUS', 'SIZE'], ...claims.map(({ name, phase, size }) => [name, phase, size])])] : []),
    ...(certificate
      ? [
          `Certificate for ${certificate.names}, ${certificate.selfSigned ? 'self-signed' : `by ${certificate.issuer}`}, ${certificate.daysLeft} days left`,
        ]
      : []),
    ...(watched ? describeWatched(watched, now) : []),
    ...warnings.map(text => `warning: ${text}`),
    ...(reports.length > 0 ? [['Not well:', ...reports].join('\n')] : []),
    ...(ok ? ['All is well.'] : []),
  ].join('\n\n');
  return { ok, result, text };
}
