import { loadSettings } from '../../config';
import type { CertificateFacts } from '../certificate';
import { Cluster } from '../cluster';
import { type Problem, podsOf, workloadProblems } from '../diagnose';
import { manifests } from '../manifests';
import { type Claim, title } from '../objects';
import { type CommonOptions, type Outcome, table } from '../outcome';
import { isRolledOut, isWorkload, observe, report, type Workload } from '../rollout';
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

export interface StatusResult {
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

const age = (seconds: number | undefined): string => {
  if (seconds === undefined) return '-';
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
  ] as const;
  const unit = units.find(([, size]) => seconds >= 2 * size);
  return unit ? `${Math.floor(seconds / unit[1])}${unit[0]}` : `${Math.round(seconds)}s`;
};

const tagOf = (image: string): string => /:([\w][\w.-]*)(@.*)?$/.exec(image)?.[1] ?? image;

/** Tells what runs, what does not, and why. */
export async function status(options: CommonOptions): Promise<Outcome<StatusResult>> {
  const settings = loadSettings(options.env);
  const { environment, namespace, host } = settings;
  const cluster = Cluster.connect(options.context);
  const expected = manifests(settings)
    .flatMap(({ objects }) => objects)
    .filter(isWorkload);
  const [observation, live, certificate] = await Promise.all([
    observe(cluster, namespace),
    Promise.all(expected.map(object => cluster.get<Workload>(object))),
    readCertificate(cluster, namespace),
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
  const ok = deployed && problems.length === 0 && certificate !== undefined && certificate.daysLeft >= 0;
  const result: StatusResult = {
    environment,
    namespace,
    context: cluster.context,
    deployed,
    workloads,
    claims,
    ...(certificate && { certificate }),
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
        age(ageSeconds),
        `${restarts}`,
      ]),
    ]),
    ...(claims.length > 0 ? [table([['CLAIM', 'STATUS', 'SIZE'], ...claims.map(({ name, phase, size }) => [name, phase, size])])] : []),
    ...(certificate
      ? [
          `Certificate for ${certificate.names}, ${certificate.selfSigned ? 'self-signed' : `by ${certificate.issuer}`}, ${certificate.daysLeft} days left`,
        ]
      : []),
    ...warnings.map(warning => `warning: ${warning}`),
    reports.length > 0 ? ['Not well:', ...reports].join('\n') : 'All is well.',
  ].join('\n\n');
  return { ok, result, text };
}
