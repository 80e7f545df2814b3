import { loadSettings } from '../../config';
import type { Change } from '../apply';
import { Cluster, FIELD_MANAGER } from '../cluster';
import { type Deliverer, deliverers } from '../deliverers';
import { countChanges, Deployment, describeChanges, firstOf } from '../deployment';
import { CommandError } from '../errors';
import { type KubernetesObject, title } from '../objects';
import { age, type CommonOptions, type Outcome, table } from '../outcome';
import { preflight, refuseOnErrors } from '../preflight';
import { changedObjects, imagesOf, listRevisions, type Revision, type RevisionStatus, revisionBefore, unrecorded } from '../revisions';
import { isWorkload } from '../rollout';
import type { StepResult } from '../steps';

export interface RollbackOptions extends CommonOptions {
  /** Number of a revision; the one before when absent. */
  readonly to?: number;
  readonly skipHealthCheck?: boolean;
  readonly dryRun?: boolean;
}

export interface RollbackResult {
  readonly environment: string;
  readonly namespace: string;
  readonly context: string;
  readonly dryRun: boolean;
  /** Number of the revision that is back. */
  readonly revision: number;
  readonly steps: readonly StepResult[];
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
  readonly seconds: number;
}

interface ListedRevision {
  readonly number: number;
  readonly created: string | undefined;
  readonly status: RevisionStatus;
  readonly rollbackTo?: number;
  /** Objects that are not as in the revision before, where that is kept. */
  readonly changed?: readonly string[];
  /** What the workloads run. */
  readonly images: readonly string[];
}

function choose(revisions: readonly Revision[], { to, env }: RollbackOptions, namespace: string): Revision {
  if (revisions.length === 0) throw unrecorded(env, namespace);
  const chosen = to === undefined ? revisionBefore(revisions) : revisions.find(({ number }) => number === to);
  if (chosen !== undefined) return chosen;
  if (to === undefined)
    throw new CommandError('There is no other revision that was deployed', `orfeas rollback --list --env ${env} shows all`);
  throw new CommandError(`There is no revision ${to}`, `choose one of ${revisions.map(({ number }) => number).join(', ')}`);
}

/** When somebody last changed what an object is applied as. */
const lastApplied = ({ metadata }: KubernetesObject, manager: string): number =>
  Math.max(0, ...(metadata.managedFields ?? []).filter(entry => entry.manager === manager).map(({ time = 0 }) => new Date(time).getTime()));

/** Whether it was the last to apply an object. */
const delivers = ({ manager, marks }: Deliverer, object: KubernetesObject): boolean =>
  marks.some(mark => mark in { ...object.metadata.labels, ...object.metadata.annotations }) &&
  lastApplied(object, manager) >= lastApplied(object, FIELD_MANAGER);

/** They would undo the rollback at once, or at their next sync. */
async function refuseDelivered(cluster: Cluster, objects: readonly KubernetesObject[], namespace: string): Promise<void> {
  const live = await Promise.all(objects.filter(isWorkload).map(object => cluster.get(object)));
  for (const object of live.filter(object => object !== undefined)) {
    const deliverer = deliverers.find(each => delivers(each, object));
    if (deliverer === undefined) continue;
    throw new CommandError(
      `${deliverer.name} manages ${title(object)} in ${namespace}, and would bring back what git says`,
      'go back in git: git revert the commit, and push',
    );
  }
}

/** Goes back to a former revision, images and settings together. */
export async function rollback(options: RollbackOptions, signal: AbortSignal): Promise<Outcome<RollbackResult>> {
  const start = Date.now();
  const { env, dryRun = false, skipHealthCheck = false, json = false } = options;
  const settings = loadSettings(env);
  const { environment, namespace } = settings;
  const cluster = Cluster.connect(options.context);
  const target = choose(await listRevisions(cluster, namespace), options, namespace);
  const { objects, host } = target;
  const number = target.rollbackTo ?? target.number;
  const warnings: string[] = [];
  const deployment = new Deployment(cluster, { settings, host, objects, dryRun, skipHealthCheck, rollbackTo: number, json, signal });
  const check = {
    name: 'preflight',
    title: 'Preflight checks',
    run: async () => {
      await refuseDelivered(cluster, objects, namespace);
      const { version, findings } = await preflight(cluster, { settings, objects });
      refuseOnErrors(findings);
      warnings.push(...findings.map(({ message, remedy }) => `${message} → ${remedy}`));
      return `cluster "${cluster.context}", Kubernetes ${version}, back to revision ${number}`;
    },
  };

  const steps: StepResult[] = [];
  const failure = await deployment.run(
    [check, deployment.replace, deployment.pull, deployment.apply, deployment.wait, deployment.health],
    steps,
  );
  const seconds = Math.round((Date.now() - start) / 1000);
  const { changes } = deployment;
  const summary = dryRun
    ? [
        `Nothing was changed. A rollback of ${environment} to revision ${number} would mean: ${countChanges(changes)}`,
        describeChanges(changes),
      ]
    : [
        `The studio of ${environment} is back at revision ${number} in ${seconds} s: ${countChanges(changes)}`,
        describeChanges(changes),
        `Git still says otherwise: revert the change there, or the next deployment brings it back (orfeas diff --env ${environment}).`,
      ];
  return {
    ok: failure === undefined,
    result: { environment, namespace, context: cluster.context, dryRun, revision: number, steps, changes, warnings, seconds },
    text: [...warnings.map(text => `warning: ${text}`), ...(failure ? [] : summary)].filter(Boolean).join('\n'),
    ...failure,
  };
}

/** Lists the revisions that one can go back to, the newest first. */
export async function listRollbacks({ env, context }: CommonOptions): Promise<Outcome<{ readonly revisions: readonly ListedRevision[] }>> {
  const { namespace, environment } = loadSettings(env);
  const cluster = Cluster.connect(context);
  const found = await listRevisions(cluster, namespace);
  if (found.length === 0) throw unrecorded(environment, namespace);
  const revisions = found.map((revision, index): ListedRevision => {
    const { number, created, status, rollbackTo } = revision;
    const before = found[index + 1];
    return {
      number,
      created,
      status,
      ...(rollbackTo !== undefined && { rollbackTo }),
      ...(before && { changed: changedObjects(before, revision) }),
      images: imagesOf(revision),
    };
  });
  const rows = revisions.map(({ number, created, status, rollbackTo, changed, images }) => [
    `${number}`,
    created === undefined ? '-' : age((Date.now() - new Date(created).getTime()) / 1000),
    status,
    rollbackTo === undefined ? firstOf(changed ?? ['-']) : `rollback to ${rollbackTo}`,
    images.join(', '),
  ]);
  return { ok: true, result: { revisions }, text: table([['REVISION', 'AGE', 'STATUS', 'CHANGED', 'IMAGES'], ...rows]) };
}
